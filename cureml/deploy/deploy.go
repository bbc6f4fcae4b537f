package deploy

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"text/template"
)

// Job is what a cluster is told of a sweep.
type Job struct {
	Name  string // of the job: lower-case letters, digits and hyphens
	Dir   string // the sweep's folder, as its tasks see it
	Tasks int
	// Waves are how many tasks there are in each group that needs the ones before it, in the order of indexes; no Slurm array
	// has tasks of two. Empty means one group.
	Waves    []int
	Parallel int    // tasks at a time, at most
	CPUs     int    // of a task
	Memory   string // of a task: for Slurm such as 8G, for Kubernetes such as 8Gi
	GPUs     int    // of a task: 0, or 1, which it computes on with XLA's CUDA plugin

	// Of Slurm: the path of the program, the time limit of a task such as 24:00:00 or 2-00:00:00, and where the user has to
	// name them partition and account.
	Program, Limit, Partition, Account string

	// Of Kubernetes: the image, a claim to a volume, where that is mounted, how often a failed task is tried again, and the
	// namespace, "" for that of kubectl.
	Image, Claim, Mount string
	Retries             int
	// Planned is where the volume was mounted when the sweep was planned; "" for at Mount, or where no data lie on it.
	Planned   string
	Namespace string
}

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"q": quoteYAML, "sh": quoteShell}).ParseFS(files, "*.tmpl"))

// mostArray is how many tasks a Slurm array has at most: MaxArraySize is 1001 unless an administrator changed it, and
// indexes must be below it.
const mostArray = 1000

// Limits of Kubernetes on Indexed Jobs with a backoff limit for each index.
const (
	mostCompletions = 100_000
	mostParallel    = 10_000
)

var (
	label    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$`) // pods add an index and a suffix, 63 in all
	quantity = regexp.MustCompile(`^[1-9][0-9]*(Ki|Mi|Gi|Ti)$`)
	memory   = regexp.MustCompile(`^[1-9][0-9]*[KMGT]$`)
	limit    = regexp.MustCompile(`^([0-9]+-)?[0-9]+(:[0-9]{2}){0,2}$`)
	word     = regexp.MustCompile(`^[A-Za-z0-9_.,-]*$`)
	image    = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9_./:@-]*$`)
)

// Slurm is the array script.
func (j Job) Slurm() (string, error) {
	if err := j.checkSlurm(); err != nil {
		return "", err
	}
	return fill("array.sbatch.tmpl", j)
}

// Submit is the script that submits the arrays.
func (j Job) Submit() (string, error) {
	if err := j.checkSlurm(); err != nil {
		return "", err
	}
	return fill("submit.sh.tmpl", struct {
		Job
		Arrays []array
	}{j, j.arrays()})
}

// array is one submission: tasks First to First+Last.
type array struct{ First, Last int }

// arrays cuts the groups of tasks into arrays that Slurm takes.
func (j Job) arrays() (list []array) {
	waves := j.Waves
	if len(waves) == 0 {
		waves = []int{j.Tasks}
	}
	first := 0
	for _, n := range waves {
		for at := 0; at < n; at += mostArray {
			list = append(list, array{first + at, min(mostArray, n-at) - 1})
		}
		first += n
	}
	return list
}

// Kubernetes is the manifest of the Indexed Job.
func (j Job) Kubernetes() (string, error) {
	if err := j.checkKubernetes(); err != nil {
		return "", err
	}
	return fill("job.yaml.tmpl", j)
}

func fill(name string, v any) (string, error) {
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, v); err != nil {
		return "", fmt.Errorf("deploy: %w", err)
	}
	return b.String(), nil
}

// check is what both clusters want.
func (j Job) check() error {
	sum := 0
	for _, n := range j.Waves {
		sum += n
	}
	switch {
	case !label.MatchString(j.Name):
		return fmt.Errorf("deploy: name %q: want lower-case letters, digits and hyphens, at most 52, a letter first", j.Name)
	case j.Dir == "" || strings.ContainsAny(j.Dir, "\n\x00"):
		return fmt.Errorf("deploy: folder %q: want that of the sweep", j.Dir)
	case j.Tasks < 1:
		return fmt.Errorf("deploy: %d tasks: want at least 1", j.Tasks)
	case len(j.Waves) > 0 && sum != j.Tasks:
		return fmt.Errorf("deploy: groups of %v tasks: want %d in all", j.Waves, j.Tasks)
	case j.Parallel < 1:
		return fmt.Errorf("deploy: %d tasks at a time: want at least 1", j.Parallel)
	case j.CPUs < 1:
		return fmt.Errorf("deploy: %d CPUs: want at least 1", j.CPUs)
	case j.GPUs < 0 || j.GPUs > 1:
		return fmt.Errorf("deploy: %d GPUs: want 0 or 1: a task computes on one device", j.GPUs)
	}
	return nil
}

func (j Job) checkSlurm() error {
	if err := j.check(); err != nil {
		return err
	}
	switch {
	case !memory.MatchString(j.Memory):
		return fmt.Errorf("deploy: memory %q: want a size such as 8G", j.Memory)
	case !limit.MatchString(j.Limit):
		return fmt.Errorf("deploy: time limit %q: want hours:minutes:seconds such as 24:00:00, or days-hours", j.Limit)
	case !word.MatchString(j.Partition):
		return fmt.Errorf("deploy: partition %q: want a name without spaces", j.Partition)
	case !word.MatchString(j.Account):
		return fmt.Errorf("deploy: account %q: want a name without spaces", j.Account)
	case j.Program == "" || strings.ContainsAny(j.Program, "\n\x00"):
		return fmt.Errorf("deploy: program %q: want the path of cure", j.Program)
	}
	return nil
}

func (j Job) checkKubernetes() error {
	if err := j.check(); err != nil {
		return err
	}
	switch {
	case j.Tasks > mostCompletions:
		return fmt.Errorf("deploy: %d tasks: an Indexed Job has at most %d: take larger shards", j.Tasks, mostCompletions)
	case j.Parallel > mostParallel:
		return fmt.Errorf("deploy: %d tasks at a time: an Indexed Job has at most %d", j.Parallel, mostParallel)
	case !quantity.MatchString(j.Memory):
		return fmt.Errorf("deploy: memory %q: want a size such as 8Gi", j.Memory)
	case !image.MatchString(j.Image):
		return fmt.Errorf("deploy: image %q: want a reference such as registry.example/cure:1", j.Image)
	case !label.MatchString(j.Claim):
		return fmt.Errorf("deploy: claim %q: want the name of a persistent volume claim", j.Claim)
	case !path.IsAbs(j.Mount):
		return fmt.Errorf("deploy: mount %q: want an absolute path", j.Mount)
	case path.Clean(j.Dir) != path.Clean(j.Mount) && !strings.HasPrefix(path.Clean(j.Dir), path.Clean(j.Mount)+"/"):
		return fmt.Errorf("deploy: folder %s: want one below the mount %s", j.Dir, j.Mount)
	case j.Planned != "" && !path.IsAbs(j.Planned):
		return fmt.Errorf("deploy: volume at %q: want an absolute path", j.Planned)
	case j.Retries < 0:
		return fmt.Errorf("deploy: %d retries: want 0 or more", j.Retries)
	case j.Namespace != "" && !label.MatchString(j.Namespace):
		return fmt.Errorf("deploy: namespace %q: want lower-case letters, digits and hyphens", j.Namespace)
	}
	return nil
}

// quoteYAML is a string in double quotes, which JSON writes as YAML reads it.
func quoteYAML(s string) (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// quoteShell makes one word for a shell.
func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
