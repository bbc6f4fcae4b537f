// Package mesh makes one backend out of several devices of another, for data-parallel training and evaluation.
//
// Programs are written and called as for one device: a tensor keeps its whole shape, and a mean over the batch is one
// over the whole batch, batch norm's included. [Over] only says how tensors lie. Those with a row for each image are
// split along their first axis, device i having the i-th share of the rows:
//
//   - images, [B, 32, 32, 3] of any type;
//   - labels and other whole numbers, [B].
//
// All others, weights first, are on every device in full, as are tensors whose rows cannot be shared out equally. XLA's
// SPMD partitioner (Shardy, with the batch along the axis "data" of a mesh) derives the rest from how the inputs and
// outputs of a program lie: passes over the network work on the device's own images, and what sums over images, such as
// gradients of weights, losses and the statistics of batch norm, becomes a sum over devices (all-reduce). Results are
// those of one device but for the order in which float32 numbers are added.
//
// Memory: every device holds all weights, and its share of the activations. Data that comes from the host is sent to every
// device that has a part in it.
package mesh
