package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// fetcher downloads files with resumption.
type fetcher struct {
	client   *http.Client
	attempts int           // in a row that bring the file no further
	pause    time.Duration // after the first of them; it doubles each time
	stall    time.Duration // a connection that is silent for so long is given up
	progress func(done int64)
}

func newFetcher(client *http.Client) *fetcher {
	return &fetcher{client: client, attempts: 4, pause: time.Second, stall: time.Minute}
}

// permanentError is one that trying again does not help.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// file brings r to path, unless it is there.
func (f *fetcher) file(ctx context.Context, r remote, path string) error {
	switch sum, err := fileSHA256(path); {
	case err == nil && sum == r.sha256:
		f.progress(r.size)
		return nil
	case err == nil:
		return fmt.Errorf("%s exists with SHA-256 %s, want %s: move it away to fetch it again", path, sum, r.sha256)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := f.complete(ctx, r, part); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// complete makes part hold the whole of r, beginning with what it holds already.
func (f *fetcher) complete(ctx context.Context, r remote, part *os.File) error {
	sum := sha256.New()
	done, err := io.Copy(sum, part)
	if err != nil {
		return err
	}
	pause, furthest := f.pause, done
	for failures := 0; done != r.size; {
		if done > r.size {
			if done, err = restart(part, sum); err != nil {
				return err
			}
		}
		done, err = f.request(ctx, r, part, sum, done)
		if done > furthest {
			failures, pause, furthest = 0, f.pause, done
		} else {
			failures++
		}
		if err == nil {
			continue
		}
		var permanent permanentError
		if ctx.Err() != nil {
			return fmt.Errorf("stopped at %d of %d bytes, the next call goes on there: %w", done, r.size, ctx.Err())
		}
		if errors.As(err, &permanent) || failures >= f.attempts {
			return fmt.Errorf("%s: %w", r.url, err)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != r.sha256 {
		if err := os.Remove(part.Name()); err != nil {
			return err
		}
		return fmt.Errorf("%s: SHA-256 is %s, want %s; the file was discarded", r.url, got, r.sha256)
	}
	return nil
}

// request asks the server once for what follows the first done bytes and appends it to part. It returns how many bytes part
// holds then, which are fewer than done if the server began anew.
func (f *fetcher) request(ctx context.Context, r remote, part *os.File, sum hash.Hash, done int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("no data for %v", f.stall)) })
	defer stalled.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return done, permanentError{err}
	}
	if done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", done))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return done, stallCause(ctx, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && rangeStart(resp) == done:
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent,
		resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// No support for ranges, or another range than the one asked for.
		if done > 0 {
			if done, err = restart(part, sum); err != nil {
				return done, permanentError{err}
			}
		}
		if resp.StatusCode != http.StatusOK {
			return done, fmt.Errorf("the server cannot continue the file: %s", resp.Status)
		}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return done, fmt.Errorf("the server answered %s", resp.Status)
	default:
		return done, permanentError{fmt.Errorf("the server answered %s", resp.Status)}
	}
	if n := resp.ContentLength; n >= 0 && n != r.size-done {
		return done, permanentError{fmt.Errorf("the server offers %d bytes, want %d", done+n, r.size)}
	}
	buf := make([]byte, 1<<17)
	body := io.LimitReader(resp.Body, r.size-done)
	for {
		n, err := body.Read(buf)
		stalled.Reset(f.stall)
		if n > 0 {
			sum.Write(buf[:n])
			if _, err := part.WriteAt(buf[:n], done); err != nil {
				return done, permanentError{err}
			}
			done += int64(n)
			f.progress(done)
		}
		if errors.Is(err, io.EOF) && done < r.size {
			return done, io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, stallCause(ctx, err)
		}
	}
}

// rangeStart is the first byte of a partial answer, -1 if it does not say.
func rangeStart(resp *http.Response) int64 {
	var first int64
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &first); err != nil {
		return -1
	}
	return first
}

// stallCause names the stall timer as the reason of an error that it brought about.
func stallCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// restart empties part and its running checksum.
func restart(part *os.File, sum hash.Hash) (int64, error) {
	sum.Reset()
	return 0, part.Truncate(0)
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// syncFolder makes a rename in dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
