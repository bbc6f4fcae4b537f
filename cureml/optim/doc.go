// Package optim holds what turns gradients into new weights: SGD as PyTorch defines it ([SGD]), learning-rate schedules
// ([Schedule]) and the percentile that CURE's robust gradient prominence needs ([Percentile]).
package optim
