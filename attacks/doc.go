// Package attacks measures how robust an image classifier is, and builds the adversarial images that robust training
// needs. It knows no network: an attack gets a function from images to logits.
//
// # Contract
//
// Images are [B, H, W, C] floats with pixels in [0, 1]; every eps and step size is in these units (8/255, not 8). Any
// normalisation belongs inside the model. Models are evaluated as they predict: batch norm with running statistics, no
// dropout. Labels are integers [B].
//
// # In a graph
//
// The losses (CrossEntropy, SoftCrossEntropy, KL, Margin, CW, DLR) return one value per image, never a mean. Ball
// projects and gives ascent directions; PGD.Begin and PGD.Step build the loop that adversarial training unrolls:
//
//	adv := p.Begin(x, noise)
//	for range p.Steps {
//		adv = p.Step(x, adv, func(adv *Node) *Node { return attacks.KL(natural, net(adv)) })
//	}
//
// # Evaluation
//
// Evaluate runs a list of attacks against a Model and returns a Report: per-image verdicts, robust accuracies, losses,
// passes and warnings. Preset names attacks as papers do (pgd20, cw20, ...); Attack.With applies explicit settings. A
// verdict counts only after a fresh pass over exactly the image returned, within norm and box. Evaluator does the same
// for a model whose weights change, as in training.
//
// Attacks with a Target aim at one class of each image; the report then counts the images that got there. Transfer shows
// how images made for one model fare with others, and Predict what a model makes of given images.
//
// A robust accuracy is an upper bound: what these attacks failed to break, a stronger one may. Compare numbers only for
// equal budgets, and read the warnings: zero gradients and NaN values are how a model hides from attacks.
//
// # Random models
//
// A model that draws random numbers when it predicts has Model.Random in place of Logits, and makes them of the keys it
// gets (KeyedUniform, KeyedNormal, SplitKeys), so that verdicts can be repeated. PGD, APGD, Momentum and RFGSM average
// their gradients over EOT passes (preset autoattack-rand); searches for the smallest perturbations and FAB take single
// ones. The majority of Model.Forwards passes decides a verdict.
//
// # Diagnosis
//
// Diagnose looks for what makes attacks fail before an evaluation, DiagnoseReport and DiagnoseTransfer for signs of it
// after one. What they find is a list of Flag; its names document test, threshold, remedy and source of each.
//
// Graph functions panic on misuse, as gomlx does; everything else returns errors.
package attacks
