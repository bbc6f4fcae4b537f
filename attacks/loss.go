package attacks

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// CrossEntropy is -log softmax(z)_y per image.
//
// logits is [B, C] of any float type, y is [B] of an integer type with values in [0, C); the result is [B], in nats.
func CrossEntropy(logits, y *Node) *Node {
	return Neg(pick(LogSoftmax(logits, -1), labelMask("CrossEntropy", logits, y)))
}

// SoftCrossEntropy is -sum_k target_k log softmax(z)_k per image, for targets that are distributions over the classes.
//
// logits and target are [B, C]; the result is [B], in nats.
func SoftCrossEntropy(logits, target *Node) *Node {
	checkLogits("SoftCrossEntropy", logits)
	if !target.Shape().Equal(logits.Shape()) {
		exceptions.Panicf("attacks.SoftCrossEntropy: target has shape %s, want that of the logits, %s", target.Shape(), logits.Shape())
	}
	return Neg(ReduceSum(Mul(target, LogSoftmax(logits, -1)), -1))
}

// KL is the divergence KL(softmax(p) || softmax(q)) = sum_k softmax(p)_k (log softmax(p)_k - log softmax(q)_k) per image.
//
// p and q are logits [B, C]; the result is [B], in nats. TRADES (Zhang et al. 2019, eq. 5) has the natural logits as p
// and the adversarial ones as q. Gradient flows into both: wrap one in StopGradient where a method wants it constant.
func KL(p, q *Node) *Node {
	checkLogits("KL", p)
	if !p.Shape().Equal(q.Shape()) {
		exceptions.Panicf("attacks.KL: logits of shapes %s and %s, want the same shape", p.Shape(), q.Shape())
	}
	logP, logQ := LogSoftmax(p, -1), LogSoftmax(q, -1)
	return ReduceSum(Mul(Exp(logP), Sub(logP, logQ)), -1)
}

// Margin is z_y - max_{j != y} z_j per image: positive where the image is classified as y.
//
// logits is [B, C] with C >= 2, y is [B]; the result is [B]. Among equal logits the lowest class is the maximum, and
// the gradient goes to that class alone.
func Margin(logits, y *Node) *Node {
	isY := labelMask("Margin", logits, y)
	checkClasses("Margin", logits, 2)
	other := classMask(logits, argmax(hide(logits, isY)))
	return Sub(pick(logits, isY), pick(logits, other))
}

// CW is -max(margin + kappa, 0) per image, the objective that "CW-20" of the adversarial-training literature maximises
// by PGD (TRADES, MART, FAT and CURE evaluations; kappa 50 there). It is not the L2 attack of Carlini and Wagner.
func CW(logits, y *Node, kappa float64) *Node {
	return Neg(MaxScalar(AddScalar(Margin(logits, y), kappa), 0))
}

// DLR is the difference of logits ratio -(z_y - max_{j != y} z_j) / (z_(1) - z_(3) + 1e-12) per image, with z_(k) the
// k-th largest logit (Croce and Hein 2020, eq. 6): invariant to shifts and scales of the logits, positive only where
// the image is misclassified.
//
// logits is [B, C] with C >= 3, y is [B]; the result is [B]. The gradient flows through the denominator too.
func DLR(logits, y *Node) *Node {
	checkClasses("DLR", logits, 3)
	top := largest(logits, 3)
	return Neg(Div(Margin(logits, y), AddScalar(Sub(top[0], top[2]), 1e-12)))
}

// TargetedDLR is -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2 + 1e-12) per image, with z_(k) the k-th largest logit and t
// the target (Croce and Hein 2020, eq. 7).
//
// logits is [B, C] with C >= 4, y and target are [B]; the result is [B], and 0 where the target is y. The gradient flows
// through the denominator too.
func TargetedDLR(logits, y, target *Node) *Node {
	return targetedDLR(logits, y, labelMask("TargetedDLR", logits, target))
}

// targetedDLR is TargetedDLR with the target as a mask [B, C].
func targetedDLR(logits, y, target *Node) *Node {
	checkClasses("TargetedDLR", logits, 4)
	top := largest(logits, 4)
	lead := Sub(pick(logits, labelMask("TargetedDLR", logits, y)), pick(logits, target))
	return Neg(Div(lead, AddScalar(Sub(top[0], MulScalar(Add(top[2], top[3]), .5)), 1e-12)))
}

// Correct says per image whether the lowest-index argmax of the logits is y: a Bool [B]. An image with a NaN logit is
// never correct.
func Correct(logits, y *Node) *Node {
	hit := ReduceLogicalOr(LogicalAnd(classMask(logits, argmax(logits)), labelMask("Correct", logits, y)), -1)
	return LogicalAnd(hit, LogicalNot(anyNaN(logits)))
}

// anyNaN is Bool [B]: whether a row of x [B, ...] holds a NaN.
func anyNaN(x *Node) *Node {
	flat := Reshape(x, x.Shape().Dim(0), -1)
	return ReduceLogicalOr(IsNaN(flat), -1)
}

// largest returns the k largest logits of each row in falling order, each [B]; equal logits count one by one. Selection
// by masks has a gradient on every backend, which sorting has not.
func largest(logits *Node, k int) []*Node {
	values := make([]*Node, k)
	rest := logits
	for i := range values {
		mask := classMask(logits, argmax(rest))
		values[i] = pick(logits, mask)
		rest = hide(rest, mask)
	}
	return values
}

// argmax is the lowest index of the largest logit, int32 [B, 1], and C where the row holds a NaN that hides the maximum.
// It is spelled out because backends break ties differently.
func argmax(logits *Node) *Node {
	g, classes := logits.Graph(), logits.Shape().Dim(-1)
	z := StopGradient(logits)
	best := ReduceAndKeep(z, ReduceMax, -1)
	index := classIndex(logits)
	return ReduceAndKeep(Where(Equal(z, best), index, BroadcastToShape(Const(g, int32(classes)), index.Shape())), ReduceMin, -1)
}

// pick is the entry of each row of z [B, C] that mask selects: [B].
func pick(z, mask *Node) *Node {
	return ReduceSum(Where(mask, z, ZerosLike(z)), -1)
}

// hide sets the entries that mask selects to minus infinity.
func hide(z, mask *Node) *Node {
	return Where(mask, BroadcastToShape(Infinity(z.Graph(), z.DType(), -1), z.Shape()), z)
}

// classMask is Bool [B, C]: true where the class is index [B, 1].
func classMask(logits, index *Node) *Node {
	all := classIndex(logits)
	return Equal(all, BroadcastToShape(index, all.Shape()))
}

// labelMask is classMask for labels y [B]; it checks the shapes on behalf of the loss called name.
func labelMask(name string, logits, y *Node) *Node {
	checkLogits(name, logits)
	if y.Rank() != 1 || y.Shape().Dim(0) != logits.Shape().Dim(0) || !y.DType().IsInt() {
		exceptions.Panicf("attacks.%s: labels have shape %s, want integers [%d]", name, y.Shape(), logits.Shape().Dim(0))
	}
	return classMask(logits, InsertAxes(ConvertDType(y, classIndex(logits).DType()), -1))
}
