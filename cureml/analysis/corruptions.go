package analysis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"cure/attacks"
	"cure/data"
	"cure/data/corrupt"
)

// CorruptionOptions are the settings of [MeasureCorruptions]. Their zero value makes the 15 corruptions that count, with
// seed 0.
type CorruptionOptions struct {
	Names []string // corruptions; nil is the 15 that count. The four extra ones enter no mean
	// Folder has corrupted images, such as the official CIFAR-10-C; nil makes them with Seed.
	Folder *data.Corrupted
	Seed   uint64
	First  int // number of the set's first image: its record in the folder, or for the random numbers of package corrupt
	// Baseline is the name of the network that mCE is relative to; "" is the first.
	Baseline string
	// State names a file that keeps the verdicts found so far. Where it exists, the measurement goes on from there, for
	// other networks and corruptions too; a file about other images is refused. "" keeps none.
	State    string
	Progress func(name string, severity, done, total int) // after each corruption and severity; nil for none
}

// Corruptions says how networks classify corrupted images. All its errors are shares of wrong answers.
type Corruptions struct {
	Images   string             `json:"images"` // what was corrupted, or the name of the folder
	N        int                `json:"n"`      // images of each corruption and severity
	Names    []string           `json:"names"`  // corruptions in the order of [corrupt.All]
	Baseline string             `json:"baseline"`
	Networks []CorruptedNetwork `json:"networks"`
	Notes    []string           `json:"notes,omitempty"` // why an mCE is missing
}

// CorruptedNetwork is one network on all corruptions. Means are over corruptions that count and the five severities, and
// are there if all corruptions that they are of were measured.
type CorruptedNetwork struct {
	Name   string                     `json:"name"`
	Clean  Estimate                   `json:"clean"`
	Errors corrupt.Errors             `json:"errors"`
	Groups map[corrupt.Group]Estimate `json:"groups,omitempty"`
	Mean   *Estimate                  `json:"mean,omitempty"` // over the 15: what papers on CIFAR-10-C report
	// CE and RelativeCE are those of [corrupt.MCE] and [corrupt.RelativeMCE].
	CE         *corrupt.Scores `json:"ce,omitempty"`
	RelativeCE *corrupt.Scores `json:"relative_ce,omitempty"`
}

// MeasureCorruptions classifies corrupted copies of the images of a set, each corruption in five severities (Hendrycks and
// Dietterich 2019), by all networks. The labels of a folder must be those of the set.
//
//	E(c, s) = share of wrong answers under corruption c of severity s
//	mean    = mean of E(c, s) over the 15 corruptions and 5 severities
//
// and mCE, relative mCE as in package corrupt. The CURE paper (arXiv 2401.14948, figures 7 and 9) shows severity 3 alone,
// with two of the extra corruptions.
func MeasureCorruptions(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, o CorruptionOptions) (*Corruptions, error) {
	list, err := o.list()
	if err != nil {
		return nil, err
	}
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	base := slices.IndexFunc(nets, func(n Network) bool { return o.Baseline == "" || n.Name == o.Baseline })
	if base < 0 {
		return nil, fmt.Errorf("analysis: corruptions: baseline %q: want one of the networks", o.Baseline)
	}
	kept, err := openVerdicts(o.State, o.identity(set))
	if err != nil {
		return nil, err
	}
	defer kept.close()

	subjects, free := seatAll(device, nets)
	defer free()
	m := &corruptionRun{CorruptionOptions: o, evaluator: newEvaluator(set), subjects: subjects, set: set, list: list, kept: kept}
	defer m.Close()
	for _, n := range nets {
		m.sums = append(m.sums, n.Sum())
	}
	all, err := m.run(ctx)
	if err != nil {
		return nil, err
	}
	r := &Corruptions{Images: o.source(set), N: set.Len(), Names: corruptionNames(list), Baseline: nets[base].Name}
	for i, n := range nets {
		r.Networks = append(r.Networks, summariseErrors(n.Name, list, all[i]))
	}
	r.compare(base)
	return r, nil
}

// list is the corruptions that were asked for, in the order of corrupt.All.
func (o CorruptionOptions) list() ([]corrupt.Corruption, error) {
	list := corrupt.Benchmark()
	if o.Names != nil {
		for i, name := range o.Names {
			if _, err := corrupt.Lookup(name); err != nil {
				return nil, fmt.Errorf("analysis: %w", err)
			}
			if slices.Contains(o.Names[:i], name) {
				return nil, fmt.Errorf("analysis: corruption %s appears twice", name)
			}
		}
		list = slices.DeleteFunc(corrupt.All(), func(c corrupt.Corruption) bool { return !slices.Contains(o.Names, c.Name) })
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("analysis: no corruptions: want at least one, or nil for the 15 that count")
	}
	for _, c := range list {
		if o.Folder != nil && !slices.Contains(o.Folder.Names, c.Name) {
			return nil, fmt.Errorf("analysis: the folder %s has no %s: it has %s", o.Folder.Dir, c.Name, strings.Join(o.Folder.Names, ", "))
		}
	}
	return list, nil
}

func corruptionNames(list []corrupt.Corruption) (names []string) {
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// source says what the corrupted images are.
func (o CorruptionOptions) source(set *data.Set) string {
	if o.Folder != nil {
		return o.Folder.Name
	}
	return fmt.Sprintf("%s, corrupted with seed %d", set.Name, o.Seed)
}

// corrupted makes or reads the images of one corruption.
func (o CorruptionOptions) corrupted(ctx context.Context, set *data.Set, name string, severity int) (*data.Set, error) {
	if o.Folder == nil {
		s, err := corrupt.Set(ctx, set, name, severity, corrupt.Options{Seed: o.Seed, First: o.First})
		if err != nil {
			return nil, fmt.Errorf("analysis: %w", err)
		}
		return s, nil
	}
	s, err := o.Folder.Set(name, severity)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	first := o.First - o.Folder.First
	if first < 0 || first+set.Len() > s.Len() {
		return nil, fmt.Errorf("analysis: %s holds the records %d to %d: want %d to %d", o.Folder.Dir,
			o.Folder.First, o.Folder.First+s.Len()-1, o.First, o.First+set.Len()-1)
	}
	if s, err = s.Slice(first, first+set.Len()); err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	for i, y := range set.Labels {
		if s.Labels[i] != y {
			return nil, fmt.Errorf("analysis: %s, record %d has label %d, and %d in %s: want the clean images that the folder was made from",
				o.Folder.Dir, o.First+i, s.Labels[i], y, set.Name)
		}
	}
	return s, nil
}

// corruptionRun is a measurement under way.
type corruptionRun struct {
	CorruptionOptions
	*evaluator
	subjects []*subject
	sums     []string // of these
	set      *data.Set
	list     []corrupt.Corruption
	kept     *verdicts
}

// cleanImages is the name under which verdicts on clean images are kept, at severity 0.
const cleanImages = "clean"

// run returns the verdicts of each network.
func (m *corruptionRun) run(ctx context.Context) ([]wrongs, error) {
	all := make([]wrongs, len(m.subjects))
	for i := range all {
		all[i] = wrongs{}
	}
	done, total := 0, 1+len(m.list)*corrupt.Severities
	one := func(name string, severity int, images func() (*data.Set, error)) error {
		if err := m.judge(ctx, all, name, severity, images); err != nil {
			return err
		}
		if done++; m.Progress != nil {
			m.Progress(name, severity, done, total)
		}
		return nil
	}
	if err := one(cleanImages, 0, func() (*data.Set, error) { return m.set, nil }); err != nil {
		return nil, err
	}
	for _, c := range m.list {
		for severity := 1; severity <= corrupt.Severities; severity++ {
			images := func() (*data.Set, error) { return m.corrupted(ctx, m.set, c.Name, severity) }
			if err := one(c.Name, severity, images); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// judge classifies the images by all networks, unless that was kept.
func (m *corruptionRun) judge(ctx context.Context, all []wrongs, name string, severity int, open func() (*data.Set, error)) (err error) {
	var images *data.Set
	for i, s := range m.subjects {
		wrong, ok := m.kept.find(m.sums[i], name, severity)
		if !ok {
			if images == nil {
				if images, err = open(); err != nil {
					return err
				}
			}
			r, err := m.evaluate(ctx, s, images, nil, attacks.Options{})
			if err != nil {
				return fmt.Errorf("analysis: network %s: %w", s.Name, err)
			}
			wrong = make([]bool, len(r.Clean.Flags))
			for k, right := range r.Clean.Flags {
				wrong[k] = !right
			}
			if err := m.kept.add(m.sums[i], name, severity, wrong); err != nil {
				return err
			}
		}
		all[i].put(name, severity, wrong)
	}
	return nil
}
