// Package similarity compares what layers of networks represent: it takes the activations of two layers on the same n
// inputs, as matrices [n, features], and returns one number.
//
//   - CKA, centred kernel alignment (Kornblith et al. 2019), from Gram matrices [n, n]: [LinearGram] and [RBFGram] make
//     them, [CKA] is the biased estimate, [UnbiasedCKA] the one with U-centring (Székely and Rizzo 2014), and
//     [MinibatchCKA] averages unbiased HSIC over batches (Nguyen et al. 2021).
//   - The CCA family on features [n, d], d < n: [MeanCCA], [SVCCA] (Raghu et al. 2017), [PWCCA] (Morcos et al. 2018).
//   - [Procrustes] (Ding et al. 2021), a distance: smaller is more alike.
//
// [Reader] and [Grams] keep their programs, and [Space] the singular vectors of a layer, for comparisons of many layers of many
// networks.
//
// All but Procrustes are 1 for equal representations. A layer whose output is the same for all inputs represents nothing:
// every similarity with it is 0, its distance to any other layer 1, never NaN.
package similarity
