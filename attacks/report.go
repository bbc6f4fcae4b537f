package attacks

import (
	"encoding/json"
	"fmt"
	"math"
)

// Report is the outcome of an evaluation. It marshals to the JSON that `cure eval` writes.
type Report struct {
	// Arch, Weights, Data and Records (first and last+1 of the test file) say what was evaluated. Evaluate knows only
	// images and logits, so its caller fills them in.
	Arch    string `json:"arch"`
	Weights string `json:"weights"`
	Data    string `json:"data"`
	Records [2]int `json:"records"`

	N    int     `json:"n"`    // images
	Norm string  `json:"norm"` // of the attacks; "mixed" if they differ, "" without attacks
	Eps  float64 `json:"eps"`  // the largest of the attacks, in pixel units of [0, 1]
	Seed int64   `json:"seed"`

	Clean   Clean     `json:"clean"`
	Attacks []*Result `json:"attacks"`
	// RobustFlags are true where the clean image and all returned images are classified correctly.
	RobustAccuracy float64  `json:"robust_accuracy"`
	RobustFlags    Flags    `json:"robust_flags"`
	Warnings       []string `json:"warnings"`
	// Findings are the flags that DiagnoseReport raised, and those that a caller had from Diagnose and gave to Raise.
	Findings []Flag `json:"flags,omitempty"`
}

// Raise adds flags to the report, as such and as warnings.
func (r *Report) Raise(flags ...Flag) {
	r.Findings = append(r.Findings, flags...)
	for _, f := range flags {
		r.Warnings = append(r.Warnings, f.String())
	}
}

// Clean is the outcome without an attack.
type Clean struct {
	Accuracy float64 `json:"accuracy"` // a fraction
	Flags    Flags   `json:"flags"`    // true where classified correctly
	NaN      int     `json:"-"`        // images with NaN logits or an infinite loss
}

// Result is the outcome of one attack.
type Result struct {
	Name           string  `json:"name"`
	RobustAccuracy float64 `json:"robust_accuracy"` // a fraction of all images
	RobustFlags    Flags   `json:"robust_flags"`    // true where clean and returned image are classified correctly
	MeanLoss       Number  `json:"mean_loss"`       // of Losses; null for an ensemble
	Seconds        float64 `json:"seconds"`         // wall time without compilation
	Forwards       int64   `json:"forwards"`        // passes over one image, summed over images; verification included
	Backwards      int64   `json:"backwards"`
	// Skipped are forward passes over images that the attack had looked at before, and so need not look at: queries of
	// Square in Linf that would change nothing. They are not among Forwards.
	Skipped int64 `json:"skipped,omitempty"`

	// Targets are the classes that a targeted attack aimed at, and TargetedSuccess counts the images that it attacked and
	// returned classified as such, verified as all successes are.
	Targets         []int32 `json:"targets,omitempty"`
	TargetedSuccess *int    `json:"targeted_success,omitempty"`

	// Distances, of a search for smallest perturbations, are those it found in the norm of its budget: 0 where the clean
	// image is misclassified, +Inf (null in JSON) where there is none. Found counts the finite ones among the images that
	// were attacked, and MedianDistance is the median over these, unsuccessful ones counting as +Inf. The robust flags say
	// which distances exceed eps.
	Distances      []Number `json:"distances,omitempty"`
	Found          *int     `json:"found,omitempty"`
	MedianDistance *Number  `json:"median_distance,omitempty"`

	// Stages are the attacks of an ensemble, each with the flags that it left.
	Stages []*Result `json:"stages,omitempty"`

	// BrokenIn is the run (restart, target) that broke an image, and -1 where none of this attack's did.
	BrokenIn []int `json:"-"`
	// Losses are the attack's own loss at the returned image (the clean image where that was misclassified already and so
	// not attacked), float32 per image; nil for an ensemble.
	Losses []float32 `json:"-"`
	// Adv are the returned images [N, H, W, C] if Options.KeepAdv asked for them: exactly those verified, and the clean
	// images where there was no need to attack.
	Adv []float32 `json:"-"`
	// NaN counts images that gave NaN logits or a NaN or infinite loss or gradient in some pass of the attack, ZeroGrad
	// those that gave a gradient of exactly zero while classified correctly.
	NaN, ZeroGrad int `json:"-"`
	// Strays counts returned images outside ball or pixel box, which no verdict counts.
	Strays int `json:"-"`
	// Refuted counts successes that a search claimed and the verification denied. The search went on from there, up to five
	// times in a run, and afterwards to the end of the run; one for the smallest perturbations lost what it claimed.
	Refuted int `json:"-"`
}

// Flags is one verdict per image; in JSON 1 for true and 0 for false.
type Flags []bool

// Accuracy is the fraction that is true, and 0 of none.
func (f Flags) Accuracy() float64 {
	if len(f) == 0 {
		return 0
	}
	return float64(f.count()) / float64(len(f))
}

func (f Flags) count() (n int) {
	for _, v := range f {
		if v {
			n++
		}
	}
	return n
}

// MarshalJSON writes [0, 1, ...].
func (f Flags) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 2*len(f)+2), '[')
	for i, v := range f {
		if i > 0 {
			out = append(out, ',')
		}
		if v {
			out = append(out, '1')
		} else {
			out = append(out, '0')
		}
	}
	return append(out, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Flags) UnmarshalJSON(data []byte) error {
	var numbers []int
	if err := json.Unmarshal(data, &numbers); err != nil {
		return fmt.Errorf("attacks: flags: %w", err)
	}
	flags := make(Flags, len(numbers))
	for i, v := range numbers {
		if v != 0 && v != 1 {
			return fmt.Errorf("attacks: flags: entry %d is %d, want 0 or 1", i, v)
		}
		flags[i] = v == 1
	}
	*f = flags
	return nil
}

// Number is a float64 that JSON shows as null where it is NaN or infinite, which JSON has no words for.
type Number float64

// MarshalJSON writes the number or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads a number, and null as NaN.
func (n *Number) UnmarshalJSON(data []byte) error {
	v := math.NaN()
	if string(data) != "null" {
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("attacks: %w", err)
		}
	}
	*n = Number(v)
	return nil
}
