"""A peer of `cure bench` in JAX: the same work, jitted, with the attack as a loop of the host around one jitted step.

Reads a job from standard input, a line of JSON, then takes a turn for every further line and answers each on file
descriptor 3. On a GPU convolutions compute in bfloat16.
"""

import json
import os
import random
import resource
import sys
import time

import jax
import jax.numpy as jnp
from jax import lax

GPU = jax.default_backend() != "cpu"
EPS, STEP, STEPS = 0.031, 0.007, 10


def conv(x, w, stride):
    k = w.shape[0] // 2
    if GPU:
        x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    y = lax.conv_general_dilated(x, w, (stride, stride), [(k, k), (k, k)], dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y.astype(jnp.float32)


class Builder:
    """Makes the weights at the first pass through a network, and hands them out in the others."""

    def __init__(self, weights, stats, train):
        self.weights, self.stats, self.train = weights, stats, train
        self.make = weights is None
        if self.make:
            self.weights, self.stats, self.key = [], [], jax.random.PRNGKey(0)
        self.w, self.s, self.moved = 0, 0, []

    def weight(self, *shape, value=None):
        if self.make:
            self.key, key = jax.random.split(self.key)
            fan = 1
            for n in shape[:-1]:
                fan *= n
            self.weights.append(jax.random.normal(key, shape) * (2 / fan) ** 0.5 if value is None else jnp.full(shape, value))
        self.w += 1
        return self.weights[self.w - 1]

    def conv(self, x, out, k, stride=1):
        return conv(x, self.weight(k, k, x.shape[-1], out), stride)

    def norm(self, x):
        c = x.shape[-1]
        scale, offset = self.weight(c, value=1.0), self.weight(c, value=0.0)
        if self.make:
            self.stats += [jnp.zeros(c), jnp.ones(c)]
        mean, var = self.stats[self.s], self.stats[self.s + 1]
        self.s += 2
        if self.train:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            n = x.size // c
            self.moved += [lax.stop_gradient(mean), lax.stop_gradient(var) * n / (n - 1)]
        factor = scale / jnp.sqrt(var + 1e-5)
        return x * factor + (offset - mean * factor)


def network(job, b, x):
    relu, width = jax.nn.relu, job["Width"]
    if job["Arch"] == "resnet18":
        x = relu(b.norm(b.conv(x, width, 3)))
        for stage in range(4):
            for block in range(2):
                out, stride = width << stage, 2 if stage and not block else 1
                y = relu(b.norm(b.conv(x, out, 3, stride)))
                y = b.norm(b.conv(y, out, 3))
                short = x if stride == 1 and x.shape[-1] == out else b.norm(b.conv(x, out, 1, stride))
                x = relu(y + short)
    else:
        _, depth, widen = job["Arch"].split("-")
        x = b.conv(x, width, 3)
        for stage in range(3):
            for block in range((int(depth) - 4) // 6):
                out, stride = width * int(widen) << stage, 2 if stage and not block else 1
                y = relu(b.norm(x))
                short = x if x.shape[-1] == out else b.conv(y, out, 1, stride)
                x = short + b.conv(relu(b.norm(b.conv(y, out, 3, stride))), out, 3)
        x = relu(b.norm(x))
    x = x.mean((1, 2))
    return x @ b.weight(x.shape[-1], 10) + b.weight(10, value=0.0)


def ce(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def kl(p, q):
    p, q = jax.nn.log_softmax(p), jax.nn.log_softmax(q)
    return (jnp.exp(p) * (p - q)).sum(-1).mean()


class Peer:
    def __init__(self, job):
        self.job, self.steps = job, job["Attack"] or STEPS
        self.x = jax.random.uniform(jax.random.PRNGKey(1), (job["Batch"], 32, 32, 3))
        self.y = jnp.arange(job["Batch"]) % 10
        b = Builder(None, None, False)
        network(job, b, self.x[:2])
        self.state = b.weights, b.stats, [jnp.zeros_like(w) for w in b.weights]
        self.revision = [w + 0 for w in b.weights], [s + 0 for s in b.stats]  # the state's own buffers are donated
        self.logits = jax.jit(self.evaluate)
        self.ascend = jax.jit(self.ascent)
        self.update = jax.jit(getattr(self, job["Name"].replace("-step", "").replace("-", "_") + "_update"), donate_argnums=0) \
            if job["Name"].endswith("-step") else None

    def evaluate(self, weights, stats, x):
        return network(self.job, Builder(weights, stats, False), x)

    def train(self, weights, stats, x):
        b = Builder(weights, stats, True)
        logits = network(self.job, b, x)
        return logits, [0.9 * s + 0.1 * m for s, m in zip(stats, b.moved)]

    def ascent(self, weights, stats, x, adv, natural):
        grad = jax.grad(lambda a: kl(natural, self.evaluate(weights, stats, a)))(adv)
        return jnp.clip(jnp.clip(adv + STEP * jnp.sign(grad), x - EPS, x + EPS), 0, 1)

    def attack(self):
        weights, stats, _ = self.state
        natural, adv = self.logits(weights, stats, self.x), self.x + 0.001
        for _ in range(self.steps):
            adv = self.ascend(weights, stats, self.x, adv, natural)
        return adv

    @staticmethod
    def sgd(weights, moments, grads):
        moments = [0.9 * m + g + 5e-4 * w for m, g, w in zip(moments, grads, weights)]
        return [w - 1e-3 * m for w, m in zip(weights, moments)], moments

    def natural_update(self, state, x, adv, y):
        weights, stats, moments = state

        def loss(w):
            logits, moved = self.train(w, stats, x)
            return ce(logits, y), moved

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        weights, moments = self.sgd(weights, moments, grads)
        return (weights, stats, moments), value

    def trades_update(self, state, x, adv, y):
        weights, stats, moments = state

        def loss(w):
            natural, moved = self.train(w, stats, x)
            robust, moved = self.train(w, moved, adv)
            return ce(natural, y) + 6 * kl(natural, robust), moved

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        weights, moments = self.sgd(weights, moments, grads)
        return (weights, stats, moments), value

    def targets(self, revision, x, adv):
        natural, follow = self.train(*revision, x)
        robust, follow = self.train(revision[0], follow, adv)
        return (natural, robust), follow

    def conserved(self, scores):
        return [s < jnp.quantile(s, 0.3) for s in scores[:-2]] + [jnp.zeros_like(s, bool) for s in scores[-2:]]

    def cure_update(self, state, x, adv, y, revision, decay):
        """Each view has a vjp of its own: through one over both, XLA would keep the other view's pass with zeros."""
        weights, stats, moments = state
        natural, pull, stats = jax.vjp(lambda w: self.train(w, stats, x), weights, has_aux=True)
        robust, pull_adv, stats = jax.vjp(lambda w: self.train(w, stats, adv), weights, has_aux=True)
        targets, follow = self.targets(revision, x, adv)
        scores = [0.1 * jnp.abs(a) + 0.9 * jnp.abs(b) for a, b in zip(
            pull(jax.grad(ce)(natural, y))[0], pull_adv(jax.grad(ce)(robust, y))[0])]
        kept = self.conserved(scores)
        by, by_adv = jax.grad(lambda n, r: ce(n, y) + kl(n, r) + kl(targets[0], n) + kl(targets[1], r), (0, 1))(natural, robust)
        grads = [a + b for a, b in zip(pull(by)[0], pull_adv(by_adv)[0])]
        new, moved = self.sgd(weights, moments, grads)
        new = [jnp.where(k, old, w) for k, old, w in zip(kept, weights, new)]
        moved = [jnp.where(k, old, m) for k, old, m in zip(kept, moments, moved)]
        average = [decay * r + (1 - decay) * w for r, w in zip(revision[0], new)]
        return (new, stats, moved), ce(natural, y), (average, follow)

    def cure_released_update(self, state, x, adv, y, revision, decay):
        weights, stats, moments = state

        def loss(w):
            natural, moved = self.train(w, stats, x)
            robust, moved = self.train(w, moved, adv)
            return 0.1 * ce(natural, y) + 0.9 * ce(robust, y) + kl(targets[0], natural) + kl(targets[1], robust), moved

        targets, follow = self.targets(revision, x, adv)
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(weights)
        kept = self.conserved([jnp.abs(g) for g in grads])
        new, moments = self.sgd(weights, moments, [jnp.where(k, 0, g) for k, g in zip(kept, grads)])
        average = [decay * r + (1 - decay) * w for r, w in zip(revision[0], new)]
        return (new, stats, moments), value, (average, follow)

    def turn(self):
        name = self.job["Name"]
        if name == "forward":
            return self.logits(*self.state[:2], self.x)
        if name == "attack-loop":
            return self.attack()
        if name == "pgd20":
            return self.pgd20()
        adv = self.x if name == "natural-step" else self.attack()
        if name.startswith("cure"):
            decay = 0.999 if random.random() < 0.2 else 1.0
            self.state, value, self.revision = self.update(self.state, self.x, adv, self.y, self.revision, decay)
        else:
            self.state, value = self.update(self.state, self.x, adv, self.y)
        return self.state, value

    def pgd20(self):
        weights, stats, _ = self.state
        if not hasattr(self, "climb"):

            @jax.jit
            def climb(weights, stats, x, adv, y):
                grad = jax.grad(lambda a: ce(self.evaluate(weights, stats, a), y))(adv)
                return jnp.clip(jnp.clip(adv + 0.003 * jnp.sign(grad), x - EPS, x + EPS), 0, 1)

            self.climb = climb
        labels = self.logits(weights, stats, self.x).argmax(1)
        adv = self.x + jax.random.uniform(jax.random.PRNGKey(2), self.x.shape, minval=-EPS, maxval=EPS)
        for _ in range(self.job["Attack"] or 20):
            adv = self.climb(weights, stats, self.x, adv, labels)
        return (self.logits(weights, stats, adv).argmax(1) == labels).sum()


def main():
    replies = os.fdopen(3, "w", buffering=1)

    def say(**answer):
        replies.write(json.dumps(answer) + "\n")

    job = json.loads(sys.stdin.readline())
    say(Backend=f"JAX {jax.__version__}, {jax.devices()[0].device_kind}, the host's loop")
    peer = None
    for _ in sys.stdin:
        clock = time.perf_counter()
        try:
            peer = peer or Peer(job)
            jax.block_until_ready(peer.turn())
        except Exception as e:  # the other side tells it
            say(Error=f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
            return
        memory = 0 if GPU else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(Seconds=time.perf_counter() - clock, Images=job["Batch"], Peak=memory)


main()
