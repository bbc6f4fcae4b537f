package main

import (
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cure/cureml/deploy"
	"cure/cureml/sweep"
)

// clusterFlags describe a job, and are the same for all engines.
type clusterFlags struct {
	deploy.Job
	out string
}

func (f *clusterFlags) add(fs *pflag.FlagSet, memory string) {
	fs.StringVar(&f.out, "out", "", "folder of the sweep")
	fs.StringVar(&f.Dir, "dir", "", "the same folder as the tasks see it (default its absolute path here)")
	fs.StringVar(&f.Name, "name", "cure-sweep", "name of the job")
	fs.IntVar(&f.Parallel, "parallel", 8, "tasks at a time, at most")
	fs.IntVar(&f.CPUs, "cpus", 4, "CPU cores of a task")
	fs.IntVar(&f.GPUs, "gpus", 0, "NVIDIA GPUs of a task, 0 or 1: with one it computes on XLA's CUDA plugin, or fails")
	fs.StringVar(&f.Memory, "memory", memory, "memory of a task")
}

// job completes the description with what the sweep says.
func (f *clusterFlags) job() (j deploy.Job, s *sweep.Sweep, err error) {
	if s, err = openSweep(f.out, "", "", nil); err != nil {
		return j, nil, err
	}
	j = f.Job
	j.Tasks, j.Waves = len(s.Tasks), s.Waves()
	if j.Dir == "" {
		j.Dir, err = filepath.Abs(s.Dir)
	}
	return j, s, err
}

func newSweepSlurm() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "slurm",
		Short: "Write the scripts that run a sweep as a Slurm array",
		Long: `Write array.sbatch and submit.sh into the folder of a sweep. 'sh submit.sh' submits all tasks as arrays: trainings first,
then what needs them. Submitted again, done tasks end at once and the others go on. Requeued and preempted tasks resume.`,
		Example: `  cure sweep plan --preset ci --methods natural,cure --epochs 1 --shard 4 --out sweep
  cure sweep slurm --gpus 1 --parallel 16 --partition gpu --time 2-00:00:00 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	f.add(fs, "8G")
	fs.StringVar(&f.Program, "program", "cure", "path of this program on the nodes")
	fs.StringVar(&f.Limit, "time", "24:00:00", "time limit of a task")
	fs.StringVar(&f.Partition, "partition", "", "partition (default Slurm's)")
	fs.StringVar(&f.Account, "account", "", "account (default Slurm's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		j, s, err := f.job()
		if err != nil {
			return err
		}
		array, err := j.Slurm()
		if err != nil {
			return asUsage(err)
		}
		submit, err := j.Submit()
		if err != nil {
			return asUsage(err)
		}
		for name, text := range map[string]string{"array.sbatch": array, "submit.sh": submit} {
			if err := renameio.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o755, renameio.WithTempDir(s.Dir)); err != nil {
				return err
			}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d tasks in %d steps, submitted by\nsh %s\n", j.Tasks, len(j.Waves), filepath.Join(s.Dir, "submit.sh"))
		return nil
	}
	return cmd
}

func newSweepKubernetes() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "kubernetes",
		Short: "Write the manifest that runs a sweep as a Kubernetes Indexed Job",
		Long: `Write the manifest of an Indexed Job to standard output, for 'kubectl apply -f -'. Its pods mount the volume of --claim at
--mount, where --dir names the folder of the sweep. Data sets are looked for in the folder data of the volume; those that
the grid names by their paths must lie on it. cureml/deploy has the Containerfile of the image.`,
		Example: `  cure sweep plan --preset ci --methods natural --epochs 1 --shard 4 --out sweep
  cure sweep kubernetes --image registry.example/cure:1 --claim sweeps --mount /sweeps --dir /sweeps/table --gpus 1 --out sweep`,
		Args: noArgs,
	}
	fs := cmd.Flags()
	f.add(fs, "8Gi")
	fs.StringVar(&f.Image, "image", "", "reference of the image")
	fs.StringVar(&f.Claim, "claim", "", "persistent volume claim")
	fs.StringVar(&f.Mount, "mount", "/sweeps", "where the volume is mounted")
	fs.IntVar(&f.Retries, "retries", 3, "how often a failed task is tried again")
	fs.StringVar(&f.Namespace, "namespace", "", "namespace (default kubectl's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		j, s, err := f.job()
		if err != nil {
			return err
		}
		if j.Planned, err = s.Volume(j.Dir, j.Mount); err != nil {
			return asUsage(err)
		}
		text, err := j.Kubernetes()
		if err != nil {
			return asUsage(err)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}
