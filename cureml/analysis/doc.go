// Package analysis takes trained networks apart: how they represent images, what their gradients and losses look like, how
// sure they are of themselves, what it takes to fool them.
//
// An analysis is a function of networks, images and a few numbers, and returns a value that holds all that it found: JSON
// keeps it, Tables and Pictures show it. It compiles its graphs once for a form of network, and measures in batches of one
// shape. `cure analyze NAME` runs it from the command line; the notebooks run it through package study, which remembers
// what was computed before.
package analysis
