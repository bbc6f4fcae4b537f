package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/backend"
	"cure/data"
)

// card is what is known of a network and its robustness. The first fields are those of RobustBench's model_info files
// (github.com/RobustBench/robustbench); accuracies there are in percent, as text. autoattack_acc is given only where the
// standard ensemble ran.
type card struct {
	Link           string  `json:"link"`
	Name           string  `json:"name"`
	Authors        string  `json:"authors"`
	AdditionalData bool    `json:"additional_data"`
	ForwardPasses  int     `json:"number_forward_passes"`
	Dataset        string  `json:"dataset"`
	Venue          string  `json:"venue"`
	Architecture   string  `json:"architecture"`
	Eps            string  `json:"eps"`
	CleanAcc       string  `json:"clean_acc"`
	Reported       string  `json:"reported"`
	AutoattackAcc  *string `json:"autoattack_acc"`
	Unreliable     bool    `json:"unreliable"` // a flag or warning says so
	Footnote       string  `json:"footnote"`

	Norm     string       `json:"norm"`
	Seed     int64        `json:"seed"`
	Records  [2]int       `json:"records"`
	N        int          `json:"n"`
	Weights  string       `json:"weights_sha256"`
	Attacks  []cardAttack `json:"attacks"`
	Warnings []string     `json:"warnings"`
	Command  string       `json:"command"`
	Versions []string     `json:"versions"`
}

// cardAttack is one attack; passes are per image of the evaluation.
type cardAttack struct {
	Name      string       `json:"name"`
	RobustAcc string       `json:"robust_acc"`
	Seconds   float64      `json:"seconds"`
	Forwards  float64      `json:"forwards_per_image"`
	Backwards float64      `json:"backwards_per_image"`
	Stages    []cardAttack `json:"stages,omitempty"`
}

// newCard is the card of a report.
func newCard(r *attacks.Report, net *cureml.Saved, part *data.Set) (card, error) {
	c := card{
		Name: net.Arch.String(), ForwardPasses: 1, Dataset: strings.ToLower(strings.ReplaceAll(part.Name, "-", "")), Architecture: net.Arch.String(),
		Eps: pixels(r.Eps), CleanAcc: percent(r.Clean.Accuracy), Norm: r.Norm, Seed: r.Seed, Records: r.Records, N: r.N,
		Attacks: cardAttacks(r.Attacks, r.N), Warnings: r.Warnings, Unreliable: len(r.Warnings) > 0,
		Command: "cure " + strings.Join(os.Args[1:], " "), Versions: backend.Versions(),
		Footnote: fmt.Sprintf("Measured with cure on %d images, records %d to %d of the %s split of %s.", r.N, r.Records[0], r.Records[1]-1, part.Split, part.Name),
	}
	for _, result := range r.Attacks {
		if result.Name == "autoattack" {
			accuracy := percent(result.RobustAccuracy)
			c.AutoattackAcc = &accuracy
		}
	}
	var err error
	c.Weights, err = weightsSum(net.Path)
	return c, err
}

func cardAttacks(list []*attacks.Result, n int) (out []cardAttack) {
	for _, r := range list {
		per := func(passes int64) float64 { return float64(passes) / float64(n) }
		out = append(out, cardAttack{r.Name, percent(r.RobustAccuracy), r.Seconds, per(r.Forwards), per(r.Backwards), cardAttacks(r.Stages, n)})
	}
	return out
}

// percent is an accuracy as RobustBench writes it.
func percent(accuracy float64) string { return fmt.Sprintf("%.2f", 100*accuracy) }

// pixels is an eps as a fraction of 255 where it is one.
func pixels(eps float64) string {
	if grey := eps * 255; eps < 1 && grey > .5 && math.Abs(grey-math.Round(grey)) < 1e-6 {
		return fmt.Sprintf("%.0f/255", grey)
	}
	return fmt.Sprintf("%.6g", eps)
}

// weightsSum is the SHA-256 of a file; shipped networks are files within the program.
func weightsSum(path string) (string, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) && strings.HasPrefix(path, cureml.ZooPrefix) {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeCard writes JSON, or Markdown to a name that ends in .md.
func writeCard(path string, r *attacks.Report, net *cureml.Saved, part *data.Set) error {
	c, err := newCard(r, net, part)
	if err != nil {
		return err
	}
	if strings.EqualFold(filepath.Ext(path), ".md") {
		return writeFile(path, []byte(c.markdown()))
	}
	return writeJSON(path, c)
}

func (c card) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", c.Name, c.Footnote)
	fmt.Fprintf(&b, "| attack | %s, eps %s | %s | forwards per image | backwards per image | seconds |\n|---|---|---|---|---|---|\n", c.Norm, c.Eps, "accuracy in %")
	fmt.Fprintf(&b, "| clean | | %s | | | |\n", c.CleanAcc)
	var rows func(list []cardAttack, indent string)
	rows = func(list []cardAttack, indent string) {
		for _, a := range list {
			fmt.Fprintf(&b, "| %s%s | | %s | %.1f | %.1f | %.1f |\n", indent, a.Name, a.RobustAcc, a.Forwards, a.Backwards, a.Seconds)
			rows(a.Stages, indent+"after ")
		}
	}
	rows(c.Attacks, "")
	fmt.Fprintf(&b, "\n")
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "- warning: %s\n", w)
	}
	fmt.Fprintf(&b, "\nWeights `%s`, seed %d, %s.\n\n    %s\n", c.Weights, c.Seed, strings.Join(c.Versions, ", "), c.Command)
	return b.String()
}
