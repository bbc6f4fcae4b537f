package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// A peer is a program in Python that takes turns at the same work: as a worker it reads a job and answers turns.
type peer struct {
	name, needs string // the library that has to be installed
	program     string
	tasks       []string
}

//go:embed peer_pytorch.py
var pytorchProgram string

//go:embed peer_jax.py
var jaxProgram string

var (
	peerSteps  = []string{"natural-step", "trades-step", "cure-step", releasedCure + stepSuffix}
	peerOthers = []string{"forward", "attack-loop", "pgd20"}
)

// peers are written for the comparison and share no code with ours:
//
//   - pytorch: PyTorch in eager mode, channels last; a GPU computes in bfloat16 by autocast.
//   - compiled: the same with its networks through torch.compile.
//   - official: PyTorch with the natural logits of the attack made anew in every step of it, as the released training
//     codes of TRADES and CURE do, and with CURE's percentiles by NumPy on the host.
//   - jax: JAX with the attack as a loop of the host around one jitted step, its quicker form on CPUs.
var peers = []peer{
	{"pytorch", "torch", pytorchProgram, slices.Concat(peerSteps, peerOthers, convolutions)},
	{"compiled", "torch", pytorchProgram, slices.Concat(peerSteps, peerOthers)},
	{"official", "torch", pytorchProgram, []string{"trades-step", releasedCure + stepSuffix}},
	{"jax", "jax", jaxProgram, slices.Concat(peerSteps, peerOthers)},
}

// Peers lists the names.
func Peers() (names []string) {
	for _, p := range peers {
		names = append(names, p.name)
	}
	return names
}

func findPeer(name string) (peer, error) {
	for _, p := range peers {
		if p.name == name {
			return p, nil
		}
	}
	return peer{}, fmt.Errorf("bench: unknown peer %q: accepted are %s", name, strings.Join(Peers(), ", "))
}

// peersOf are the jobs of other programs that j is compared with.
func peersOf(j Job, names []string) (list []Job, err error) {
	for _, name := range names {
		p, err := findPeer(name)
		if err != nil {
			return nil, err
		}
		depth := strings.HasPrefix(j.Arch, "wrn-") && !strings.HasSuffix(j.Arch, "swish")
		if slices.Contains(p.tasks, j.Name) && (j.Arch == "resnet18" || depth) {
			j.Peer, j.Compute = name, ""
			list = append(list, j)
		}
	}
	return list, nil
}

// Installed says which of the peers named can run with the interpreter, and what is missing for the others. An
// interpreter that cannot be started has none.
func Installed(ctx context.Context, python string, names []string) (have []string, missing string) {
	const question = `import importlib.util as u, json; print(json.dumps([n for n in ("torch", "jax") if u.find_spec(n)]))`
	text, err := exec.CommandContext(ctx, python, "-c", question).Output()
	var libraries []string
	if err != nil || json.Unmarshal(bytes.TrimSpace(text), &libraries) != nil {
		return nil, fmt.Sprintf("%s cannot be asked for its libraries", python)
	}
	var absent []string
	for _, name := range names {
		p, err := findPeer(name)
		switch {
		case err != nil || slices.Contains(libraries, p.needs):
			have = append(have, name) // an unknown name is Plan's to refuse
		case !slices.Contains(absent, p.needs):
			absent = append(absent, p.needs)
		}
	}
	if len(absent) > 0 {
		missing = fmt.Sprintf("%s has no %s", python, strings.Join(absent, " and no "))
	}
	return have, missing
}
