package cureml

import (
	"maps"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/attacks"
	"cure/cureml/nn"
)

// IadConfig holds what IAD adds to ARD (iad-1) and AKD2 (iad-2).
type IadConfig struct {
	Beta float64 `json:"beta"` // β, the power of the teacher's probability; 0 trusts it fully
	// Begin is the share of the steps before introspection; until then the teacher is trusted fully.
	Begin float64 `json:"begin"`
	// ReleasedWeights leaves the teacher's term of iad-1 at full weight, as IAD-I.py does.
	ReleasedWeights bool `json:"released_weights"`
	// ReleasedBN forwards the clean batch of iad-1 a second time, as IAD-I.py does once introspection has begun; only
	// running statistics can tell, which the attack in mode T does not read.
	ReleasedBN bool `json:"released_bn"`
}

// introspects is the scalar that is 1 once introspection has begun, 0 before.
const introspects = "introspects"

// tuneIad1 and tuneIad2 are the recipes of the released code: 60 and 40 of 200 epochs before introspection.
func tuneIad1(c *Config) {
	exactEighths(c)
	c.Ard = ArdConfig{Alpha: 1, Temperature: 1}
	c.Iad = IadConfig{Beta: 0.1, Begin: 0.3}
}

func tuneIad2(c *Config) {
	exactEighths(c)
	c.Akd2 = Akd2Config{Robust: 0.5, Natural: 0.25, Temperature: 1}
	c.Iad = IadConfig{Beta: 0.1, Begin: 0.2}
}

func checkIad1(c Config) error { return first(checkArd(c), c.Iad.check()) }
func checkIad2(c Config) error { return first(checkAkd2(c), c.Iad.check()) }

func (c IadConfig) check() error {
	return first(weight("iad.beta", c.Beta), share("iad.begin", c.Begin))
}

// IAD1 is introspective adversarial distillation on ARD (IAD-I; Zhu et al., ICLR 2022) from a robust teacher t, which is
// trusted as far as it is right about the student's adversarial image, A = p_t(x')_y^β:
//
//	min α·mean [A·T²·KL(p_t^T(x) ‖ p^T(x')) + (1-A)·KL(p(x) ‖ p(x'))] + (1-α)·mean CE(f(x), y),
//	x' = argmax CE(f(x'), y) from U(±ε), mode T
//
// A = 1 during the first Iad.Begin of the steps. The student's own target p(x) is not stopped: gradients flow through the
// clean pass too. The teacher is in mode E; the student passes x', then x in mode T. In the released IAD-I.py (ZFancy/IAD)
// A is missing before the teacher's term: Iad.ReleasedWeights. Its learning rate is that of [ARD].
func IAD1(c Config) Method {
	networks := []Network{c.Teacher.network(RobustTeacher)}
	return Method{Name: "iad-1", Inner: distilling(c), Networks: networks, Scalars: c.Iad.scalars(), Update: func(u *Update) Outcome {
		student := u.introspective()
		if c.Iad.ReleasedBN {
			u.again(u.Scalar(introspects))
		}
		t := u.Nets[RobustTeacher]
		teacher := views{nat: t.Forward(nn.Eval, u.X), adv: t.Forward(nn.Eval, u.Adv)}
		return u.learn(iad1Terms(c, teacher, student, u.Y, u.Scalar(introspects)), student)
	}}
}

func iad1Terms(c Config, teacher, student views, y, on *Node) []Term {
	trust := c.Iad.trust(teacher.adv, y, on)
	told, own := c.Ard.distil(teacher.nat, student.adv), attacks.KL(student.nat, student.adv)
	kl, introspection, ce := mean(Mul(trust, told)), mean(Mul(OneMinus(trust), own)), mean(attacks.CrossEntropy(student.nat, y))
	if c.Iad.ReleasedWeights {
		kl = mean(told)
	}
	return []Term{{"loss", c.Ard.loss(Add(kl, introspection), ce)}, {"kl", kl}, {"introspection", introspection}, {"ce", ce}, {"trust", mean(trust)}}
}

// IAD2 is introspective adversarial distillation on AKD2 (IAD-II), from a robust teacher t and a natural one s, with A as
// in [IAD1]:
//
//	min (1-a1-a2)·mean CE(f(x'), y) + a1·T²·mean [A·KL(p_t^T(x') ‖ p^T(x')) + (1-A)·KL(p(x) ‖ p(x'))]
//	    + a2·T²·mean KL(p_s^T(x') ‖ p^T(x')),   x' = argmax CE(f(x'), y) from U(±ε), mode T
//
// Both teachers see x', in mode E; the student passes x', then x in mode T; gradients flow through p(x).
func IAD2(c Config) Method {
	networks := []Network{c.Teacher.network(RobustTeacher), c.Teacher.network(NaturalTeacher)}
	return Method{Name: "iad-2", Inner: distilling(c), Networks: networks, Scalars: c.Iad.scalars(), Update: func(u *Update) Outcome {
		student := u.introspective()
		robust := u.Nets[RobustTeacher].Forward(nn.Eval, u.Adv)
		natural := u.Nets[NaturalTeacher].Forward(nn.Eval, u.Adv)
		return u.learn(iad2Terms(c, robust, natural, student, u.Y, u.Scalar(introspects)), student)
	}}
}

// iad2Terms takes the logits of the teachers on x'.
func iad2Terms(c Config, robust, natural *Node, student views, y, on *Node) []Term {
	t := c.Akd2.Temperature
	trust := c.Iad.trust(robust, y, on)
	kl := mean(Mul(trust, distil(robust, student.adv, t)))
	introspection := mean(MulScalar(Mul(OneMinus(trust), attacks.KL(student.nat, student.adv)), t*t))
	ce, klNat := mean(attacks.CrossEntropy(student.adv, y)), mean(distil(natural, student.adv, t))
	return []Term{{"loss", c.Akd2.loss(ce, Add(kl, introspection), klNat)}, {"ce_adv", ce}, {"kl", kl},
		{"introspection", introspection}, {"kl_natural", klNat}, {"trust", mean(trust)}}
}

// introspective passes x', then x through the student.
func (u *Update) introspective() (student views) {
	student.adv = u.Student.Forward(nn.Train, u.Adv)
	student.nat = u.Student.Forward(nn.Train, u.X)
	return student
}

// again passes x through the student once more, in mode T, where on is 1: its running statistics move, and nothing else. The
// number of passes that PyTorch keeps beside them (num_batches_tracked) is one of the program and counts it in any case.
func (u *Update) again(on *Node) {
	before := maps.Clone(u.Student.Vars)
	u.Student.Forward(nn.Train, u.X)
	for name, now := range u.Student.Vars {
		if was := before[name]; was != now {
			u.Student.Vars[name] = Where(GreaterThan(on, ZerosLike(on)), now, was)
		}
	}
}

// trust is A [B], from the teacher's logits on x'. p^β is exp(-β·CE).
func (c IadConfig) trust(teacher, y, on *Node) *Node {
	a := Exp(MulScalar(attacks.CrossEntropy(teacher, y), -c.Beta))
	return Where(GreaterThan(on, ZerosLike(on)), a, OnesLike(a))
}

func (c IadConfig) scalars() []Scheduled {
	return []Scheduled{{introspects, func(p Progress) float64 {
		if float64(p.Step) < c.Begin*float64(p.Total) {
			return 0
		}
		return 1
	}}}
}
