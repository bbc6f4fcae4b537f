package bench

import (
	"fmt"
	"slices"
	"strings"
)

// suites are lists of requests under a name: quick has one width and batch size, full is for a night.
var suites = []struct {
	name     string
	requests []Request
}{
	{"quick", []Request{small(64), tools(64), evaluations("autoattack-fast", 44)}},
	{"full", []Request{
		small(64), small(128), tools(64), wide(64), wide(128),
		{Names: []string{"natural-step", "trades-step", "cure-step"}, Arch: "wrn-28-10", Widths: []int{0}, Batches: []int{64}},
		evaluations("autoattack-fast", 128), evaluations("autoattack", 128),
		{Names: []string{"cka"}, Arch: "resnet18", Widths: []int{64}, Batches: []int{1000}},
		{Names: []string{"rgp-mask"}, Arch: "resnet18", Widths: []int{64}, Batches: []int{64}},
	}},
}

func small(batch int) Request {
	return Request{Names: append(slices.Clone(peerSteps), append(peerOthers, "attack-unrolled")...), Arch: "resnet18", Widths: []int{16}, Batches: []int{batch}}
}

func wide(batch int) Request {
	return Request{Names: []string{"natural-step", "trades-step", "cure-step"}, Arch: "resnet18", Widths: []int{64}, Batches: []int{batch}}
}

func tools(batch int) Request {
	return Request{Names: []string{"rgp-mask", "batches", "corruptions", "cka"}, Arch: "resnet18", Widths: []int{16}, Batches: []int{batch}}
}

func evaluations(name string, images int) Request {
	return Request{Names: []string{name}, Arch: "resnet18", Widths: []int{16}, Batches: []int{images}}
}

// Suites lists the names that Suite takes.
func Suites() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

// Suite is the groups of jobs of a suite, with peers.
func Suite(name, backend string, peers []string) (groups [][]Job, err error) {
	for _, s := range suites {
		if s.name != name {
			continue
		}
		for _, r := range s.requests {
			r.Backend, r.Peers = backend, peers
			some, err := Plan(r)
			if err != nil {
				return nil, err
			}
			groups = append(groups, some...)
		}
		return groups, nil
	}
	return nil, fmt.Errorf("bench: unknown suite %q: accepted are %s", name, strings.Join(Suites(), ", "))
}
