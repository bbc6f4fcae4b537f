package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"cure/cureml"
	"cure/cureml/weights"
)

func newExport() *cobra.Command {
	var f networkFlags
	var out, shard string
	var classes int
	var force bool
	cmd := &cobra.Command{
		Use:   "export RUN|FILE|zoo:NAME",
		Short: "Write weights as safetensors with PyTorch's names and layouts",
		Long: `Write weights as safetensors with PyTorch's names and layouts, from a run folder (finished or not), from a file
(safetensors, .pt, .pth) or from a shipped network, zoo:NAME. Of a CURE run, --network revision writes the revision model.

--shard splits the tensors over files of at most that size, OUT-00001-of-00003.safetensors and so on, with an index that
every command here and Hugging Face's libraries read: OUT.safetensors.index.json.

A file is converted as it is, without the wrapping that checkpoints put around their weights. With --arch it must hold
exactly that network.`,
		Example: `  cure train --method cure --width 4 --epochs 1 --batch 64 --steps 1 --eval-every 0 --resume --out runs/cure
  cure export runs/cure --out student.safetensors
  cure export runs/cure --network revision --out revision.safetensors
  cure export runs/cure --out parts.safetensors --shard 100kB
  cure export parts.safetensors.index.json --out whole.safetensors
  cure export revision.safetensors --arch resnet18 --width 4 --out checked.safetensors`,
		Args: oneArg("a run folder or a file with weights"),
	}
	fs := cmd.Flags()
	f.add(fs)
	fs.IntVar(&classes, "classes", 10, "classes of the network in a file")
	fs.StringVar(&out, "out", "", "file to write")
	fs.StringVar(&shard, "shard", "", "largest size of a file, such as 15MB, for an export in several files")
	fs.BoolVar(&force, "force", false, "replace the file if it exists")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.weights = args[0]
		if err := f.check("RUN|FILE", cmd.Flags()); err != nil {
			return err
		}
		target, limit := out, uint64(0)
		if shard != "" {
			var err error
			if limit, err = humanize.ParseBytes(shard); err != nil || limit == 0 || limit > 1<<40 {
				return usage("--shard %q: want a size such as 15MB or 64MiB", shard)
			}
			base, ok := strings.CutSuffix(out, ".safetensors")
			if out != "" && !ok {
				return usage("--out: %s: shards need a name that ends with .safetensors", out)
			}
			target = base + weights.IndexSuffix
		}
		if out == "" {
			target = ""
		}
		if err := checkExport(target, force); err != nil {
			return err
		}
		typed := slices.ContainsFunc([]string{"arch", "width", "classes", "mean", "std"}, cmd.Flags().Changed)
		d, warnings, err := f.dict(classes, typed)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintln(os.Stderr, "warning:", w)
		}
		if limit > 0 {
			files, err := weights.WriteShards(out, d, int64(limit))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d tensors in %d files\n", files[len(files)-1], len(d.Names), len(files)-1)
			return nil
		}
		if err := weights.WriteSafetensors(out, d); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d tensors\n", out, len(d.Names))
		return nil
	}
	return cmd
}

// checkExport refuses a target that is missing, cannot be written or must not be replaced.
func checkExport(out string, force bool) error {
	if out == "" {
		return usage("--out is missing: the file to write")
	}
	if err := checkOutput("out", out); err != nil {
		return err
	}
	if ext := strings.ToLower(filepath.Ext(out)); ext == ".pt" || ext == ".pth" {
		return usage("--out: %s: safetensors is written, which PyTorch does not read from a %s file: want a name such as model.safetensors", out, ext)
	}
	switch info, err := os.Lstat(out); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usage("--out: %w", err)
	case !info.Mode().IsRegular():
		return usage("--out: %s exists and is no regular file", out)
	case !force:
		return usage("--out: %s exists: choose another name, or replace it with --force", out)
	}
	return nil
}

// dict is the state dict to write; typed says that the flags describe the network.
func (f *networkFlags) dict(classes int, typed bool) (*weights.Dict, []string, error) {
	var s *cureml.Saved
	var err error
	switch {
	case f.isRun():
		s, err = cureml.LoadRun(f.weights, f.network)
	case typed, strings.HasPrefix(f.weights, cureml.ZooPrefix):
		s, err = f.load(classes)
	default:
		return convert(f.weights)
	}
	if err != nil {
		return nil, nil, err
	}
	return s.Dict(), s.Warnings, nil
}

// convert reads a file without knowing its network.
func convert(path string) (*weights.Dict, []string, error) {
	d, err := weights.Read(path)
	if err != nil {
		return nil, nil, err
	}
	var warnings []string
	for _, name := range d.NonFinite() {
		warnings = append(warnings, fmt.Sprintf("tensor %s of %s holds NaN or Inf", name, path))
	}
	d = weights.Peel(d)
	meta := map[string]string{"format": "pt"}
	maps.Copy(meta, d.Meta)
	return &weights.Dict{Names: d.Names, Tensors: d.Tensors, Meta: meta}, warnings, nil
}
