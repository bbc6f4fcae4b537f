package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// content is what the test server offers, longer than one read.
var content = func() []byte {
	b := make([]byte, 300_000)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}()

func checksum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// server answers request number i (from 0) with answers[min(i, last)] and notes the Range headers.
type server struct {
	*httptest.Server
	ranges []string
}

func serve(t *testing.T, answers ...http.HandlerFunc) *server {
	s := &server{}
	var n atomic.Int32
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		answers[min(i, len(answers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// whole supports ranges.
func whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

// noRanges always sends everything.
func noRanges(w http.ResponseWriter, r *http.Request) { w.Write(content) }

// cutAfter announces everything, sends n bytes of what was asked for and drops the connection.
func cutAfter(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(content[from : from+n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

func impatient(s *server) *fetcher {
	f := newFetcher(s.Client())
	f.pause, f.stall = time.Millisecond, 20*time.Second
	return f
}

func testSource(s *server) source {
	return source{"set", []remote{{"f.bin", s.URL, int64(len(content)), checksum(content)}}}
}

func TestDownload(t *testing.T) {
	for _, c := range []struct {
		name    string
		part    []byte // what an earlier download left
		answers []http.HandlerFunc
		ranges  string
	}{
		{"fresh", nil, []http.HandlerFunc{whole}, "[]"},
		{"cut, then resumed", nil, []http.HandlerFunc{cutAfter(100_000), whole}, "[ bytes=100000-]"},
		{"cut three times", nil, []http.HandlerFunc{cutAfter(1000), cutAfter(2000), cutAfter(3000), whole}, "[ bytes=1000- bytes=3000- bytes=6000-]"},
		{"cut more often than attempts", nil, []http.HandlerFunc{cutAfter(10), cutAfter(10), cutAfter(10), cutAfter(10), cutAfter(10), cutAfter(10), whole},
			"[ bytes=10- bytes=20- bytes=30- bytes=40- bytes=50- bytes=60-]"},
		{"earlier part", content[:5000], []http.HandlerFunc{whole}, "[bytes=5000-]"},
		{"earlier part, no ranges", content[:5000], []http.HandlerFunc{noRanges}, "[bytes=5000-]"},
		{"part is complete", content, []http.HandlerFunc{status(500)}, "[]"},
		{"part is too long", append(slices.Clone(content), 1, 2, 3), []http.HandlerFunc{whole}, "[]"},
		{"range refused", content[:5000], []http.HandlerFunc{status(416), whole}, "[bytes=5000- ]"},
		{"server busy", nil, []http.HandlerFunc{status(503), status(429), whole}, "[  ]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := serve(t, c.answers...), t.TempDir()
			path := filepath.Join(dir, "sub", "f.bin")
			if c.part != nil {
				write(t, dir, "sub/f.bin.part", c.part)
			}
			var last, total int64
			got, err := impatient(s).source(t.Context(), testSource(s), filepath.Dir(path), func(d, n int64) { last, total = d, n })
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || got != path || checksum(b) != checksum(content) {
				t.Errorf("%s: %d bytes with another checksum, or another path than %s (error %v)", got, len(b), path, err)
			}
			if fmt.Sprint(s.ranges) != c.ranges && !(len(s.ranges) == 1 && s.ranges[0] == "" && c.ranges == "[]") {
				t.Errorf("asked for %v, want %v", s.ranges, c.ranges)
			}
			if len(s.ranges) > 0 && (last != int64(len(content)) || total != int64(len(content))) {
				t.Errorf("progress ended at %d of %d, want %d", last, total, len(content))
			}
			if _, err := os.Stat(path + ".part"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the unfinished file is still there (error %v)", err)
			}
			// The second time nothing is fetched.
			n := len(s.ranges)
			if _, err := impatient(s).source(t.Context(), testSource(s), filepath.Dir(path), nil); err != nil || len(s.ranges) != n {
				t.Errorf("second call: error %v, %d requests", err, len(s.ranges)-n)
			}
		})
	}
}

func TestDownloadFails(t *testing.T) {
	other := slices.Clone(content)
	other[1000] ^= 1
	serveBytes := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.Write(b)
		}
	}
	silent := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name    string
		answers []http.HandlerFunc
		tries   int
		part    int64 // bytes kept for the next call, -1 if there is no file
		want    []string
	}{
		{"not found", []http.HandlerFunc{status(404)}, 1, 0, []string{"404"}},
		{"always busy", []http.HandlerFunc{status(500)}, 4, 0, []string{"500"}},
		{"checksum", []http.HandlerFunc{serveBytes(other)}, 1, -1, []string{"SHA-256 is " + checksum(other), checksum(content), "discarded"}},
		{"shorter", []http.HandlerFunc{serveBytes(content[:1000])}, 1, 0, []string{"offers 1000 bytes, want 300000"}},
		{"longer", []http.HandlerFunc{serveBytes(append(slices.Clone(content), 1))}, 1, 0, []string{"offers 300001 bytes"}},
		{"always cut at once", []http.HandlerFunc{cutAfter(50), cutAfter(0)}, 5, 50, []string{"EOF"}},
		{"silent", []http.HandlerFunc{silent}, 4, 0, []string{"no data for 100ms"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := serve(t, c.answers...), t.TempDir()
			f := impatient(s)
			if c.name == "silent" {
				f.stall = 100 * time.Millisecond
			}
			_, err := f.source(t.Context(), testSource(s), dir, nil)
			checkError(t, err, append(c.want, "download of set")...)
			if len(s.ranges) != c.tries {
				t.Errorf("%d requests, want %d", len(s.ranges), c.tries)
			}
			if _, err := os.Stat(filepath.Join(dir, "f.bin")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file appeared under the final name (error %v)", err)
			}
			size := int64(-1)
			if st, err := os.Stat(filepath.Join(dir, "f.bin.part")); err == nil {
				size = st.Size()
			}
			if size != c.part {
				t.Errorf("%d bytes are kept, want %d", size, c.part)
			}
		})
	}
}

func TestDownloadStopped(t *testing.T) {
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:100_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	s := serve(t, half, whole)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := impatient(s).source(ctx, testSource(s), dir, func(done, total int64) {
		if done == 100_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a cancellation", err)
	}
	checkError(t, err, "of 300000 bytes", "next call")
	if path, err := impatient(s).source(t.Context(), testSource(s), dir, nil); err != nil || fmt.Sprint(s.ranges) != "[ bytes=100000-]" {
		t.Errorf("%s, error %v, ranges %v, want the second call to continue", path, err, s.ranges)
	}
}

func TestDownloadForeignFile(t *testing.T) {
	s := serve(t, whole)
	dir := t.TempDir()
	path := write(t, dir, "f.bin", []byte("something else"))
	_, err := impatient(s).source(t.Context(), testSource(s), dir, nil)
	checkError(t, err, path, "move it away")
	if b, _ := os.ReadFile(path); string(b) != "something else" || len(s.ranges) > 0 {
		t.Errorf("the file holds %q now, after %d requests", b, len(s.ranges))
	}
}

func TestDownloadTwoFiles(t *testing.T) {
	s := serve(t, whole)
	one := remote{"svhn/a.mat", s.URL, int64(len(content)), checksum(content)}
	two := one
	two.name = "svhn/b.mat"
	var done, total int64
	dir := t.TempDir()
	path, err := impatient(s).source(t.Context(), source{"svhn", []remote{one, two}}, dir, func(d, n int64) { done, total = d, n })
	if err != nil || path != filepath.Join(dir, "svhn") || done != 600_000 || total != 600_000 {
		t.Errorf("%s, %d of %d bytes, error %v, want the folder svhn and 600000 of 600000", path, done, total, err)
	}
}

func TestDownloadNames(t *testing.T) {
	if got := fmt.Sprint(Downloads()); got != "[cifar-10 cifar-100 svhn]" {
		t.Errorf("downloads %s", got)
	}
	_, err := Download(t.Context(), "imagenet", t.TempDir(), nil)
	checkError(t, err, `"imagenet"`, "cifar-10, cifar-100, svhn")
	// What is downloaded must have the names under which Open looks for it.
	for _, s := range sources {
		for _, r := range s.files {
			known := slices.ContainsFunc(layouts, func(l *layout) bool {
				return l.archive == r.name || slices.ContainsFunc(append(slices.Clone(l.train), l.test...), func(f string) bool {
					return len(l.folders) > 0 && l.folders[0]+"/"+f == r.name
				})
			})
			if !known || len(r.sha256) != 64 || r.size < 1<<20 {
				t.Errorf("%s: %+v does not fit the reader", s.name, r)
			}
		}
	}
}
