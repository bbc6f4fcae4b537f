package attacks

import "fmt"

// Flag is a finding that makes a robust accuracy doubtful, or wrong. It warns and stops nothing.
//
// The names below each say what was found, how it is tested and from which threshold on, what to do, and the source: AA
// is AutoAttack's checks (Croce and Hein 2020; fra31/auto-attack, checks.py and flags_doc.md), IoAF the indicators of
// attack failure (Pintor et al. 2022, arXiv 2106.09947), CW the checklist of Carlini et al. 2019 (arXiv 1902.06705).
// Thresholds without a source are this package's own choice.
type Flag struct {
	Name      string   `json:"name"`
	Severity  Severity `json:"severity"`
	Value     Number   `json:"value"`     // what was measured; see the flag
	Threshold Number   `json:"threshold"` // a larger value raises the flag
	Message   string   `json:"message"`
}

// String is the flag as a warning.
func (f Flag) String() string { return fmt.Sprintf("%s: %s: %s", f.Severity, f.Name, f.Message) }

// Severity says what a flag does to a robust accuracy.
type Severity string

const (
	SeverityError   Severity = "error"   // the numbers are not what they are called
	SeverityWarning Severity = "warning" // robustness may be overestimated
	SeverityNote    Severity = "note"    // good to know
)

// Flags of Diagnose that forward passes show.
const (
	// FlagRandom: the model's outputs differ from pass to pass, so that one pass per image judges luck, and single
	// gradients are noisy. Test: 5 forward passes over the same images; the value is the largest L2 distance of the
	// normalised logits z/|z| of an image between two passes. Threshold 1e-4, or another number of correct images. What to
	// do: use the preset autoattack-rand, whose gradients are means; decide by several forwards (Model.Forwards). Not
	// raised where DiagnoseOptions.Random says that this is done. Source: AA.
	FlagRandom = "randomised-output"

	// FlagProbabilities: the outputs are probabilities, on which cross entropy takes a second softmax and its gradients
	// shrink. Test: all outputs lie in (-1e-5, 1+1e-5) and each row sums to 1 within 1e-5; the value is 1 if so. What to
	// do: return the logits. Source: AA.
	FlagProbabilities = "probabilities"

	// FlagNonFinite: logits or gradients are NaN or infinite. NaN logits count as misclassified, but NaN gradients stop an
	// attack. Test: clean images, a random start, gradients there; after an evaluation, all passes of an attack. The
	// value is the share of images. Threshold 0. What to do: find the layer (often a division or a logarithm) and bound
	// it. Source: Athalye et al. 2018 (arXiv 1802.00420), section 3; ART issue 883.
	FlagNonFinite = "non-finite"

	// FlagConstant: all images get the same logits. Test: at least 2 images differ; the value is the share of those whose
	// normalised logits are within an L2 distance of 1e-4 of the first image's. Threshold: all but half an image. What to do:
	// look at the weights and the input scale. Source: this package.
	FlagConstant = "constant-output"

	// FlagBatch: an image's logits depend on the other images in its batch, or on the size of the batch: batch norm or
	// dropout in training mode, a reduction over the batch, or arithmetic too coarse for the answer. Verdicts then depend on
	// the order of the data. Test: forward passes with every other image inverted, and with a batch of half the size; the
	// value is the largest L2 distance of normalised logits. Threshold 1e-4. What to do: evaluate in inference mode with
	// running statistics. Source: RobustBench issue 7, AutoAttack issue 74, TRADES issue 3; threshold as FlagRandom.
	FlagBatch = "batch-dependence"

	// FlagFlat: a change of the input far below one level of 8 bits leaves the logits as they are, bit for bit: the input or
	// the activations are rounded, gradients are zero or an invented substitute. Test: add 1/(32*255) times a random
	// factor from 0.5 to 1 of either sign to each pixel; the value is the share of images with equal logits. Threshold 0.
	// What to do: attack without the rounding (BPDA, Athalye et al. 2018), or by scores (Square). Source: AutoAttack issue
	// 44; test of this package.
	FlagFlat = "flat-logits"

	// FlagAdaptive: the model optimises something when it predicts, so that gradients through a fixed graph may not be
	// those of the defence. Test: Model.Adaptive, or a gradient in the graph of the forward pass; the value is the number
	// of operations that gradients made (1 where Model.Adaptive alone says so). Threshold 0. What to do: adaptive attacks,
	// and differentiate through the optimisation. Source: AA; Croce et al. 2022 (arXiv 2202.13711).
	FlagAdaptive = "inference-time-optimisation"

	// FlagClasses: too few classes for losses of the ensemble. DLR needs 3 classes, the targeted DLR 4; the value is how
	// many are missing of 4. Threshold 0. What to do: rely on apgd-ce, FAB and Square. Source: AA.
	FlagClasses = "too-few-classes"

	// FlagRange: the pixels of the first images are all 0 or 1 of 255, as of images that were scaled to [0, 1] before they
	// were made integers. The value is 1 if so. Threshold 0. What to do: pass 8-bit images. Source: the contract of this
	// package; a frequent error in the issues of torchattacks and AutoAttack.
	FlagRange = "pixel-range"
)

// Flags of Diagnose that gradients show, at AutoAttack's random start.
const (
	// FlagZeroGradient: some images give a gradient of exactly zero, where an attack that follows it stays. Test: the
	// gradient of DLR (of the margin with 2 classes) at the random start of images that are correct there (DLR is constant
	// where the label has the third largest logit); after an evaluation, every pass of an attack at a correct image. The
	// value is the share of images. Threshold 0. What to do: look for rounding, saturation and detached
	// parts; attack by scores (Square) or by a smooth substitute (BPDA). Source: AA.
	FlagZeroGradient = "zero-gradient"

	// FlagVanishing: cross entropy saturates: its gradient at a correct image falls below the smallest normal float32
	// (1.2e-38), and mostly to zero, while that of DLR (the margin with 2 classes) does not. Large logits do this, by a
	// factor or a low temperature. The value is the share of correct images. Threshold 0. What to do: trust DLR, FAB and
	// Square; divide the logits. Source: CW section on temperature; Croce and Hein 2020, section 4.
	FlagVanishing = "vanishing-gradient"

	// FlagMisleading: gradients do not say how the loss changes nearby. Test: a step of 0.001 along the sign of the gradient
	// of DLR (the margin with 2 classes) at a correct image; the rise of the loss should be what the gradient promises.
	// The value is the share of images where it is less than a quarter or more than 4 times that. Threshold 0.1. What to
	// do: smooth (mean of gradients over noise), substitute the discontinuous part, attack by scores. Source: CW and IoAF
	// name the failure; Xiao et al. 2020 (k-WTA) is the model of it; test of this package.
	FlagMisleading = "misleading-gradient"
)

// Flags of Diagnose that small attacks show.
const (
	// FlagNoBudget: verdicts change although the attack may change nothing. Test: PGD with eps 0; the value is the share of
	// images whose verdict is not the clean one. Threshold 0. What to do: the model is random, or changes between passes.
	// Source: torchattacks issue 172.
	FlagNoBudget = "verdict-at-eps-0"

	// FlagUnbounded: some images resist an attack that may return any image. Test: PGD on cross entropy in Linf with eps 1,
	// 30 steps of 0.1, best iterate, 2 runs; the value is the robust accuracy. Threshold 0. What to do: the attack does not
	// work on this model; find out why before quoting a number. Source: CW; IoAF.
	FlagUnbounded = "unbounded-attack-fails"

	// FlagEps: more budget broke fewer images. Test: PGD at half, one and two eps; the value is the largest rise of the
	// robust accuracy. Threshold: one image, at least 2 points. Source: CW; Athalye et al. 2018, section 3.
	FlagEps = "robust-accuracy-rises-with-eps"

	// FlagSteps: more iterations broke fewer images. Test: PGD with 5 and 20 steps; the value is the rise. Threshold: one
	// image, at least 2 points. Source: CW.
	FlagSteps = "robust-accuracy-rises-with-steps"

	// FlagOneStep: FGSM broke images that PGD did not, as where gradients are good at clean images alone. Test: FGSM against
	// PGD with 20 steps; the value is the share of such images. Threshold: one image, at least 2 points. Source: Athalye et
	// al. 2018, section 3; CW.
	FlagOneStep = "one-step-beats-iterated"

	// FlagBlackBox: a short random search by scores broke images that no attack by gradients did. Test: Square with 100
	// queries against FGSM and PGD on two losses; the value is the share of such images. Threshold .002. What to do: look
	// for masked gradients; run Square with its full budget. Source: Athalye et al. 2018, section 3; threshold as FlagScores.
	FlagBlackBox = "black-box-beats-gradients"
)

// Flags of DiagnoseReport and DiagnoseTransfer.
const (
	// FlagScores: a black-box attack by scores (Square, SPSA) broke images that all attacks by gradients left. The value is
	// the difference between the smallest robust accuracy of the others, the clean one included, and its own. Threshold
	// .002. What to do: look for masked gradients; adapt the attack. Source: AA.
	FlagScores = "square-helps"

	// FlagTransfer: images made on another model break this one more often than the attack on itself. The value is the
	// difference of the robust accuracies. Threshold .002. What to do: look for masked gradients; attack the other model's
	// way. Source: Athalye et al. 2018, section 3; IoAF; threshold as FlagScores.
	FlagTransfer = "transfer-beats-white-box"

	// FlagRefuted: a search took images for successes that the verification, by another batch size, and other keys for a
	// random model, finds classified correctly. Each costs its run passes, and a search for the smallest perturbations a
	// result. The value is their number per image. Threshold .01. What to do: see FlagBatch for a model whose logits depend on
	// the batch; more EOT passes and Model.Forwards for a random one. Source: this package.
	FlagRefuted = "refuted-successes"

	// FlagRestarts: restarts broke many images that the first run had not, so that more would break more. The value is the
	// share of all images that later runs broke. Threshold: 1 point, and one image. What to do: more restarts or steps. Source:
	// autoattack users' practice; IoAF (an attack that did not converge).
	FlagRestarts = "restarts-help"
)
