// Package cureml trains image classifiers to resist adversarial examples, and holds CURE (Gowda, Zonooz and Arani,
// "Conserve-Update-Revise to Cure Generalization and Robustness Trade-off in Adversarial Training", ICLR 2024).
//
// # CURE in one page
//
// Start from a network trained on natural images. At every step, for a batch (x, y) in [0,1] pixels:
//
//   - Attack. x' = argmax of KL(p(x) ‖ p(x')) in the eps-ball, PGD-10 from x + 0.001·N(0,1), batch norm in mode E (eq. 4).
//   - Update. Descend L = CE(x) + KL(p(x) ‖ p(x')) + γ·L_CR (eqs. 5, 8).
//   - Conserve. In every layer, the share p of the weights with the lowest robust gradient prominence
//     RGP(w) = α|∂CE(x)/∂w| + (1-α)|∂CE(x')/∂w| keeps its bits (eq. 6).
//   - Revise. With probability r, the revision model moves: θ_rev <- d·θ_rev + (1-d)·θ (eq. 7); its predictions on x and
//     x' are the targets of L_CR = KL(p_rev(x) ‖ p(x)) + KL(p_rev(x') ‖ p(x')).
//
// [CURE] has this as the face "paper" and what the released code does as the faces "released" and "rgp_soft"; the
// comments there say where they differ.
//
// # How a method is written
//
// A [Method] is a few lines of graph code: what the attack maximises and which gradients the update applies. The same
// engine runs all of them: weights, statistics and momenta stay on the device in a [Memory], the attack takes gradients
// with respect to images only, and every random number is a function of the seed and the step, so a run that was killed
// resumes to the same bits ([Train]).
//
// Where the device has a memory of its own, the training images lie there as uint8, and batches are gathered, cropped and
// mirrored there, to the same bits as on the host (Config.DataOnDevice). Several devices of one machine share each batch
// where Config.Devices says so: package mesh makes one backend out of them.
package cureml
