// Package bench times the training steps of this project: the program behind `cure bench`.
//
// A [Job] is a method on a network with a batch size, such as trades-step on resnet18 of width 16 with 64 images. [Run]
// measures a list of them:
//
//   - Every job has a worker, a process of its own, so that peak memory belongs to the job and no job runs in memory
//     that another one has warmed up.
//   - The workers of one width and batch size stay open together and take turns, a step each, in an order that rotates
//     from round to round. A machine that slows down for a while slows all of them down.
//   - The first step, which compiles, and a second one to warm up are not among the timed ones. Of the others the
//     median counts.
//
// A step is that of training, [cureml.Stepper]: attack and update on the device, the batch prepared ahead on the host.
// Weights are random, and so are the images, because neither changes what there is to compute.
package bench
