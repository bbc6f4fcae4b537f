package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"cure/cureml/analysis"
	"cure/data"
)

func analyzeCorruptions() analyzeCommand {
	var only, path, baseline, state string
	var o analysis.CorruptionOptions
	return analyzeCommand{
		name:  "corruptions",
		short: "Accuracy on corrupted images: noise, blur, weather, digital",
		long: wrap(`Classify corrupted copies of the images, each corruption in five severities, and report accuracy by corruption and by
group, mCE and relative mCE, as tables, bars, curves over severity and a radar. The corruptions are made here, those of CIFAR-10-C
at its severities, or read from a folder in its layout, such as the official one (--corrupted): its clean images are those of
--data, with the same --records. Means are over the 15 corruptions that count. With --state a stopped command goes on where it
was.`) + "\n\n" + corruptionList(),
		example: `  cure analyze corruptions --weights zoo:natural,zoo:cure --records 0:32 --only noise,fog --out corruptions`,
		weights: "zoo:natural,zoo:trades,zoo:cure", records: "0:256",
		flags: func(fs *pflag.FlagSet) {
			fs.StringVar(&only, "only", "", "corruptions and groups with commas between (default: all 19, or those in the folder)")
			fs.StringVar(&path, "corrupted", "", "folder with corrupted images in the layout of CIFAR-10-C")
			fs.StringVar(&baseline, "baseline", "", "network that mCE is relative to (default: the first)")
			fs.StringVar(&state, "state", "", "file that keeps what is found and that a repeated command goes on from")
		},
		check: func(*pflag.FlagSet) (err error) {
			if o.Names, err = parseCorruptions(only); err != nil {
				return err
			}
			if err := checkOutput("state", state); err != nil {
				return err
			}
			if path == "" {
				return nil
			}
			if err := exists("--corrupted", path); err != nil {
				return err
			}
			if o.Folder, err = data.OpenCorrupted(path); err != nil {
				return usage("--corrupted: %w", err)
			}
			if only == "" {
				o.Names = slices.DeleteFunc(o.Names, func(name string) bool { return !slices.Contains(o.Folder.Names, name) })
			}
			return nil
		},
		run: func(ctx context.Context, job analyzeJob) (analysis.Result, error) {
			if !slices.ContainsFunc(job.Networks, func(n analysis.Network) bool { return baseline == "" || n.Name == baseline }) {
				return nil, usage("--baseline %q: want one of the networks, such as %s", baseline, job.Networks[0].Name)
			}
			show := newProgress(os.Stderr)
			defer show.end()
			o.Seed, o.First, o.Baseline, o.State = job.Seed, job.First, baseline, state
			o.Progress = func(name string, severity, done, total int) {
				share := float64(done) / float64(total)
				show.show("corruptions", false, fmt.Sprintf("%s severity %d: %.0f%%%s", name, severity, 100*share, show.left("corruptions", share)))
			}
			return analysis.MeasureCorruptions(ctx, job.Device, job.Networks, job.Set, o)
		},
	}
}
