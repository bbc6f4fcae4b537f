package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cure/data/corrupt"
)

func newDataCorrupt() *cobra.Command {
	var out, only, split, records string
	o := corrupt.SaveOptions{}
	cmd := &cobra.Command{
		Use:   "corrupt mini|PATH",
		Short: "Write corrupted copies of the images in the layout of CIFAR-10-C",
		Long: wrap(`Write corrupted copies of the images in the layout of CIFAR-10-C: one NAME.npy for each corruption, bytes [5 N, 32, 32, 3]
with the images of severity 1 first, labels.npy, and corruptions.json with the seed and the SHA-256 of the files. Each image depends on
the seed, the corruption, the severity and the number of its record only.`) + "\n\n" + corruptionList(),
		Example: `  cure data corrupt mini --out mini-c --only fog,jpeg_compression --records 0:20`,
		Args:    oneArg("mini, or the path of a data set"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Names, err = parseCorruptions(only); err != nil {
				return err
			}
			if o.Workers < 0 {
				return usage("--workers %d: want 0 (one for each processor) or more", o.Workers)
			}
			if err := checkFolder(out); err != nil {
				return err
			}
			set, err := splitOf("PATH", args[0], split)
			if err != nil {
				return err
			}
			a, b, err := parseRecords(records, set.Len())
			if err != nil {
				return err
			}
			if set, err = set.Slice(a, b); err != nil {
				return err
			}
			o.First = a
			show, done := newProgress(os.Stderr), 0
			o.Progress = func(name string, severity int) {
				done++
				total := len(o.Names) * corrupt.Severities
				share := float64(done) / float64(total)
				show.show("corrupt", done == total, fmt.Sprintf("%s severity %d: %.0f%%%s", name, severity, 100*share, show.left("corrupt", share)))
			}
			err = corrupt.Save(cmd.Context(), out, set, o)
			show.end()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d corruptions in 5 severities of %d images of %s (%s), seed %d\n",
				out, len(o.Names), set.Len(), set.Name, set.Split, o.Seed)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to make; it must not exist or be empty")
	cmd.Flags().StringVar(&only, "only", "", "corruptions and groups with commas between (default: all 19)")
	cmd.Flags().StringVar(&split, "split", "test", "train or test")
	cmd.Flags().StringVar(&records, "records", "", "a:b, the records a to b-1 (default: all)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "seed of everything random")
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "images at a time (default: one for each processor)")
	return cmd
}

// corruptionList is the part of the help that names the corruptions.
func corruptionList() string {
	var b strings.Builder
	b.WriteString("Corruptions by group:\n")
	for _, g := range corrupt.Groups() {
		fmt.Fprintf(&b, "  %-8s %s\n", g, strings.Join(ofGroup(g), ", "))
	}
	var extra []string
	for _, c := range corrupt.All() {
		if c.Extra {
			extra = append(extra, c.Name)
		}
	}
	fmt.Fprintf(&b, "  %-8s %s (for tuning: they belong to no mean)", "extra", strings.Join(extra, ", "))
	return b.String()
}

// ofGroup lists the corruptions of a group that count.
func ofGroup(g corrupt.Group) (list []string) {
	for _, c := range corrupt.Benchmark() {
		if c.Group == g {
			list = append(list, c.Name)
		}
	}
	return list
}

// parseCorruptions expands groups and refuses what does not exist or appears twice.
func parseCorruptions(text string) (list []string, err error) {
	if text == "" {
		for _, c := range corrupt.All() {
			list = append(list, c.Name)
		}
		return list, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		members := ofGroup(corrupt.Group(word))
		if members == nil {
			if _, err := corrupt.Lookup(word); err != nil {
				return nil, usage("--only: %w, or a group: noise, blur, weather, digital", err)
			}
			members = []string{word}
		}
		for _, name := range members {
			if slices.Contains(list, name) {
				return nil, usage("--only: %s appears twice", name)
			}
			list = append(list, name)
		}
	}
	return list, nil
}

// checkFolder finds out early whether a folder can be made.
func checkFolder(path string) error {
	if path == "" {
		return usage("--out is missing: want a folder to make")
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return usage("--out: %s: there is no folder %s", path, filepath.Dir(path))
		}
	case err != nil:
		return usage("--out: %s: want a folder to make", path)
	case len(entries) > 0:
		return usage("--out: the folder %s is not empty", path)
	}
	return nil
}
