// Package bench times what users of this project wait for: the program behind `cure bench`.
//
// A [Job] is something to time on a network with a batch size, such as trades-step on resnet18 of width 16 with 64
// images. [Run] measures groups of them:
//
//   - Every job has a worker, a process of its own, so that peak memory belongs to the job and no job runs in memory
//     that another one has warmed up.
//   - The workers of a group stay open together and take turns in an order that rotates from round to round. A machine
//     that slows down for a while slows all of them down.
//   - The first turn, which compiles, and a second one to warm up are not among the timed ones. Of the others the
//     median counts.
//
// What can be timed ([Names]):
//
//	METHOD-step       a step of training ([cureml.Stepper]): attack and update on the device, batches prepared ahead
//	forward           logits of a batch, in mode E
//	attack-loop       natural logits and PGD-10 on them as in training: the host calls the program of a step ten times
//	attack-unrolled   the same as one program that has all ten steps in it
//	pgd20             an evaluation under PGD-20, all images being attacked to the last step
//	autoattack(-fast) an evaluation of zoo:trades on the first test images; fast is APGD-CE and APGD-T alone
//	rgp-mask          CURE's mask alone: prominence of all weights, percentiles, comparison
//	batches           the data pipeline alone, on one core: shuffled, cropped and flipped images
//	corruptions       the 15 corruptions of CIFAR-10-C in 5 severities each; images/s are corrupted ones
//	cka               linear CKA, biased and unbiased, of all pairs of stem, blocks and logits
//
// Weights are random in all but the last evaluations, and so are images, because neither changes what there is to compute.
//
// # Peers
//
// A job can take turns with programs in Python ([Peers]) that do the same work: PyTorch, the same with the redundant
// forward passes of released codes, PyTorch compiled, and JAX. They are written for this comparison (peer_pytorch.py,
// peer_jax.py) and start as workers do. The ratio of seconds is taken in every round; the median of these is the speed.
package bench
