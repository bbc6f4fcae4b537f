package weights

import (
	"slices"
	"strings"
)

// containers are the keys under which published checkpoints keep their state dict, in order of preference. The first
// three are everybody's; model_state_dict is that of imrahulr/hat and wzekai99/DM-Improves-AT, last and best those of
// tml-epfl/understanding-fast-adv-training, of which RobustBench evaluates last.
var containers = []string{"state_dict", "model", "net", "model_state_dict", "last", "best"}

// prefixes are what wrappers put before every name: DataParallel "module", normalising wrappers "model".
var prefixes = []string{"module", "model"}

// Peel returns the state dict inside d: it strips containers ("state_dict", "model", "net", ...) and the prefixes
// "module." and "model." while all names share them.
//
// A container read from a pickle is entered even when the file has other tensors beside it, such as an
// optimizer's, which are left behind. Where names share nothing of that kind ("model.conv1.weight" next to
// "mean") they stay as they are. Tensors are shared with d, not copied.
func Peel(d *Dict) *Dict {
	for {
		inner := enter(d)
		if inner == nil {
			return d
		}
		d = inner
	}
}

// enter takes off one layer, or returns nil when there is none.
func enter(d *Dict) *Dict {
	for _, c := range containers {
		if slices.Contains(d.groups, c) {
			if inner := d.under(c + "."); len(inner.Names) > 0 {
				return inner
			}
		}
	}
	for _, p := range slices.Concat(prefixes, containers) {
		inner := d.under(p + ".")
		if len(inner.Names) > 0 && len(inner.Names) == len(d.Names) {
			return inner
		}
	}
	return nil
}

// under returns the tensors whose name continues after prefix, with the prefix cut off.
func (d *Dict) under(prefix string) *Dict {
	inner := &Dict{Meta: d.Meta}
	for _, name := range d.Names {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" {
			inner.Set(rest, d.Tensors[name])
		}
	}
	for _, g := range d.groups {
		if rest, ok := strings.CutPrefix(g, prefix); ok {
			inner.groups = append(inner.groups, rest)
		}
	}
	return inner
}
