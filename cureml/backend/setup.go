package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// SetupOptions says what [Setup] installs.
type SetupOptions struct {
	Platform Platform  // empty means cpu; cuda fetches more than 2 GB of NVIDIA's libraries with the plugin
	Force    bool      // install even when a plugin is there already
	Log      io.Writer // progress; nil means standard error
}

// Bounds of go-xla's installer, which asks GitHub and sets no limits of its own.
const (
	greetTime    = 8 * time.Second // until GitHub has named the file
	downloadTime = 5 * time.Minute // until the file is there
)

// Setup makes sure that there is a working plugin and returns it. It may be called any number of times: a plugin that
// is installed and works is used; else go-xla's installer fetches its own from GitHub; where that cannot be reached, a
// wheel pinned by its SHA-256 comes through pip, under the user's own index settings. Everything lands in .cure/pjrt of
// the checkout, or in the user's cache folder outside of one. An attempt that failed leaves nothing there and takes nothing
// away: a plugin that worked gives way only to one that works, also with Force.
func Setup(ctx context.Context, opt SetupOptions) (Plugin, error) {
	if opt.Log == nil {
		opt.Log = os.Stderr
	}
	if opt.Platform == "" {
		opt.Platform = CPU
	}
	if opt.Platform != CPU && opt.Platform != CUDA {
		return Plugin{}, fmt.Errorf("backend: unknown platform %q, known are cpu and cuda", opt.Platform)
	}
	if !opt.Force {
		p, err := find(opt.Platform)
		if err == nil {
			fmt.Fprintf(opt.Log, "XLA: %s is installed\n", p)
			return p, nil
		}
		if !errors.Is(err, ErrNoPlugin) {
			if p.Source != sourceProject {
				return Plugin{}, err
			}
			fmt.Fprintf(opt.Log, "%v; installing it again\n", err)
		}
	}
	if opt.Platform == CUDA && !HasNVIDIA() {
		return Plugin{}, errors.New("backend: this machine shows no NVIDIA device (/dev/nvidia0): install its driver first, or set up the cpu platform")
	}
	dir, err := installFolder()
	if err != nil {
		return Plugin{}, fmt.Errorf("backend: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Plugin{}, fmt.Errorf("backend: %w", err)
	}
	var failures []error
	if opt.Platform == CPU {
		p, err := setupFromGoXLA(ctx, dir, opt.Log)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return Plugin{}, ctx.Err()
		}
		fmt.Fprintf(opt.Log, "go-xla's installer: %v; trying pip\n", err)
		failures = append(failures, fmt.Errorf("go-xla's installer: %w", err))
	}
	for _, w := range wheels[opt.Platform] {
		p, err := setupFromWheels(ctx, dir, opt.Platform, w, opt.Log)
		if err == nil {
			return p, nil
		}
		if ctx.Err() != nil {
			return Plugin{}, ctx.Err()
		}
		fmt.Fprintf(opt.Log, "%s: %v\n", w[0], err)
		failures = append(failures, fmt.Errorf("%s: %w", w[0], err))
	}
	return Plugin{}, fmt.Errorf("backend: no PJRT plugin for %s could be installed: %w", opt.Platform, joinInOneLine(failures))
}

// joinInOneLine is errors.Join with semicolons.
func joinInOneLine(errs []error) error {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}

// installMessage is what the child that runs go-xla's installer tells.
type installMessage struct {
	Found bool // GitHub answered and has a file for this machine
	Error string
}

// setupFromGoXLA runs go-xla's installer in a child, which is ended when GitHub does not answer soon.
func setupFromGoXLA(ctx context.Context, dir string, log io.Writer) (Plugin, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, downloadTime, fmt.Errorf("the download took more than %v", downloadTime))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	greeting := time.AfterFunc(greetTime, func() { stop(fmt.Errorf("GitHub did not answer within %v", greetTime)) })
	defer greeting.Stop()

	tmp, err := os.MkdirTemp(dir, ".download-")
	if err != nil {
		return Plugin{}, err
	}
	defer os.RemoveAll(tmp)
	fmt.Fprintf(log, "XLA: asking go-xla's installer for its CPU plugin %s\n", pjrt.DefaultCPUVersion)
	var said installMessage
	err = runChild(ctx, "install", tmp, nil, func(text []byte) {
		said = decode[installMessage](text)
		if said.Found && greeting.Stop() {
			fmt.Fprintln(log, "XLA: downloading it from GitHub")
		}
	})
	switch {
	case ctx.Err() != nil:
		return Plugin{}, context.Cause(ctx)
	case err != nil:
		return Plugin{}, err
	case said.Error != "":
		return Plugin{}, errors.New(said.Error)
	}
	p, err := firstIn(filepath.Join(tmp, "go-xla"), CPU)
	if err != nil {
		return Plugin{}, err
	}
	if err := writeRecord(p.Path, "go-xla "+pjrt.DefaultCPUVersion); err != nil {
		return Plugin{}, err
	}
	if p, err = replace(dir, tmp, []string{"go-xla"}, filepath.Join("go-xla", filepath.Base(p.Path)), CPU); err != nil {
		return Plugin{}, err
	}
	fmt.Fprintf(log, "XLA: installed %s\n", p)
	return p, nil
}

// childInstall is go-xla's installer, quiet and without its cache.
func childInstall(dir string, send func(any)) {
	err := func() error {
		if _, err := installer.CPUGetDownloadURL(runtime.GOOS+"_"+runtime.GOARCH, pjrt.DefaultCPUVersion); err != nil {
			return err
		}
		send(installMessage{Found: true})
		return installer.AutoInstallPlugin(string(CPU), dir, false, installer.Quiet)
	}()
	var unreachable *url.Error
	switch {
	case errors.As(err, &unreachable):
		send(installMessage{Error: "GitHub cannot be reached: " + unreachable.Err.Error()})
	case err != nil:
		send(installMessage{Error: firstLine(err.Error())})
	default:
		send(installMessage{Found: true})
	}
}
