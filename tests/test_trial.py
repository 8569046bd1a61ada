"""One trial: each part against NumPy in float64 or `jax.grad` of the plain mean, and what studies stand on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.datasets

from mlp_jax import losses, model, noise_scale, optimizers, rows, sampling, trial
from mlp_jax.model import Network
from mlp_jax.trial import Cell, Data

SEED = jnp.uint32(7)
NETWORK = Network(inputs=5, hidden=(4,), outputs=3, activation="tanh")
MOMENTUM = {"learning_rate": 0.2, "momentum": 0.9}


def raw_rows(n: int, inputs: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and class ids that depend on them."""
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (n, inputs)).astype(np.uint8)
    y = (x[:, :classes] + rng.normal(0, 40, (n, classes))).argmax(axis=1).astype(np.int32)
    return x, y


CENTER = np.array([100.0, 110.0, 120.0, 130.0, 140.0])
SCALE = np.array([1 / 50, 1 / 60, 1 / 70, 1 / 80, 1 / 90])


def make_data(n: int) -> Data:
    """Raw rows on the device, with a centre and a scale for each feature."""
    x, y = raw_rows(n)
    return Data(jnp.asarray(x), jnp.asarray(y), jnp.asarray(CENTER), jnp.asarray(SCALE))


def equal(ours, theirs) -> None:
    """Bit for bit, NaN where NaN is."""
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def close(ours, theirs, rtol: float = 1e-10) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-14), ours, theirs)


def run(cell: Cell, hyper: dict, data: Data, num_steps: int, seed=SEED) -> trial.TrialState:
    return trial.advance(cell, hyper, seed, data, trial.start(cell, hyper, seed), jnp.int32(num_steps))


_gradient = jax.jit(trial.gradient, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def plain_gradient(network: Network, params, x, y):
    """Value and gradient of the mean cross-entropy of normalised rows, in one piece."""

    def mean_loss(params):
        log_f = jax.nn.log_softmax(jax.vmap(partial(model.forward, network, params))(x))
        return -jnp.mean(log_f[jnp.arange(len(y)), y])

    return jax.value_and_grad(mean_loss)(params)


@pytest.mark.parametrize("how", ["all rows", "indices"])
@pytest.mark.parametrize(
    "rows", [1, 1536, 2100, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (512, 1535, 1537))]
)
def test_gradient_equals_that_of_the_mean_loss_however_it_is_divided(rows: int, how: str) -> None:
    assert trial.GRADIENT_ROWS == 512, "choose other numbers of rows, so that some are divided and some have a rest"
    n = rows if how == "all rows" else 2500
    x, y = raw_rows(n)
    index = None if how == "all rows" else np.random.default_rng(0).integers(0, n, rows)
    with jax.enable_x64(True):
        params = model.init(jax.random.key(0), NETWORK)
        ours = _gradient(
            Cell(network=NETWORK), {}, make_data(n), params, None if index is None else jnp.asarray(index, jnp.int32)
        )
        x, y = (x, y) if index is None else (x[index], y[index])
        plain = plain_gradient(NETWORK, params, jnp.asarray((x - CENTER) * SCALE), jnp.asarray(y))
    close(ours, plain)


@pytest.mark.parametrize("rows", [40, pytest.param(1300, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_weight_is_so_many_rows_of_that_kind(rows: int) -> None:
    cell = Cell(network=Network(inputs=5, hidden=(4,), outputs=3), batch_size=rows)
    params, data = model.init(jax.random.key(1), cell.network), make_data(rows)
    weight = np.arange(rows) % 4
    many = np.repeat(np.arange(rows), weight)
    weighted = data._replace(weight=jnp.asarray(weight * rows / len(many), data.center.dtype))
    repeated = data._replace(x=data.x[many], y=data.y[many])
    ours = trial.gradient(cell, {}, weighted, params, None)
    close(ours, trial.gradient(cell, {}, repeated, params, None), rtol=1e-4)
    close(ours, trial.gradient(cell, {}, weighted, params, jnp.arange(rows)), rtol=1e-4)
    assert float(trial.evaluate(cell, params, weighted).loss) == float(trial.evaluate(cell, params, data).loss)
    exact = lambda data: noise_scale.exact(cell.network, cell.loss, params, data)
    np.testing.assert_allclose(exact(weighted).squared_norm, exact(repeated).squared_norm, rtol=1e-3)


def test_gradient_of_a_softmax_classifier_with_regularisation_written_out() -> None:
    n, l2, smoothing = 40, 0.3, 0.2
    network = Network(inputs=5, outputs=3)
    x, y = raw_rows(n)
    with jax.enable_x64(True):
        params = model.init(jax.random.key(1), network)
        params = (params[0]._replace(b=jnp.array([0.3, -0.2, 0.1])),)
        hyper = {"l2": l2, "label_smoothing": smoothing}
        loss, (layer,) = _gradient(Cell(network=network), hyper, make_data(n), params, None)
    W, b, x = np.asarray(params[0].W), np.asarray(params[0].b), (x - CENTER) * SCALE
    z = x @ W.T + b
    target = (1 - smoothing) * np.eye(3)[y] + smoothing / 3
    f = scipy.special.softmax(z, axis=1)
    assert float(loss) == pytest.approx(-(target * np.log(f)).sum() / n + l2 / 2 * (W**2).sum(), rel=1e-12)
    np.testing.assert_allclose(layer.W, (f - target).T @ x / n + l2 * W, rtol=1e-10)
    np.testing.assert_allclose(layer.b, (f - target).mean(axis=0), rtol=1e-10)  # b is not regularised


def momentum_in_numpy(params, batches: np.ndarray, x: np.ndarray, y: np.ndarray):
    """Sample, forward, backward, update, as in the slides; yields loss and weights after each update."""
    (W1, b1), (W2, b2) = ([np.array(leaf) for leaf in layer] for layer in params)
    V = [np.zeros_like(leaf) for leaf in (W1, b1, W2, b2)]
    for batch in batches:
        rows, label = (x[batch] - CENTER) * SCALE, np.eye(3)[y[batch]]
        a = np.tanh(rows @ W1.T + b1)
        f = scipy.special.softmax(a @ W2.T + b2, axis=1)
        d2 = (f - label) / len(batch)
        d1 = (d2 @ W2) * (1 - a**2)
        gradient = (d1.T @ rows, d1.sum(axis=0), d2.T @ a, d2.sum(axis=0))
        V = [MOMENTUM["momentum"] * v + g for v, g in zip(V, gradient, strict=True)]
        W1, b1, W2, b2 = (w - MOMENTUM["learning_rate"] * v for w, v in zip((W1, b1, W2, b2), V, strict=True))
        yield -np.mean(np.log((f * label).sum(axis=1))), ((W1, b1), (W2, b2))


@pytest.mark.parametrize("kind", ["epochs", pytest.param("replacement", marks=pytest.mark.slow)])
def test_steps_equal_the_slides_written_out(kind: str) -> None:
    n, batch_size, num_steps = 23, 5, 12  # through two ends of an epoch
    cell = Cell(network=NETWORK, optimizer="momentum", batch_size=batch_size, sampling=kind)
    draw = jax.jit(partial(sampling.minibatch, n=n, batch_size=batch_size, sampling=kind))
    batches = np.array([draw(SEED, jnp.uint32(t)) for t in range(num_steps)])
    step = jax.jit(trial.step, static_argnums=0)
    with jax.enable_x64(True):
        data, state = make_data(n), trial.start(cell, MOMENTUM, SEED)
        assert (int(state.step), int(state.failed)) == (0, -1)
        expected = momentum_in_numpy(state.params, batches, *raw_rows(n))
        for t, (loss, weights) in enumerate(expected):
            state = step(cell, MOMENTUM, SEED, data, state)
            assert float(state.loss) == pytest.approx(loss, rel=1e-10)  # before the update
            close([tuple(layer) for layer in state.params], list(weights))
            assert (int(state.step), int(state.failed)) == (t + 1, -1)
        equal_to = trial.advance(cell, MOMENTUM, SEED, data, trial.start(cell, MOMENTUM, SEED), jnp.int32(num_steps))
        close(equal_to, state, rtol=1e-12)


def test_the_full_gradient_needs_no_order() -> None:
    n = 30
    with jax.enable_x64(True):
        data = make_data(n)
        cell = Cell(network=NETWORK, batch_size=n)
        params = model.init(jax.random.key(0), NETWORK)
        whole = _gradient(cell, {}, data, params, None)
        shuffled = _gradient(cell, {}, data, params, jnp.asarray(np.random.default_rng(0).permutation(n), jnp.int32))
        close(whole, shuffled, rtol=1e-12)
        # whichever seed chooses the order: the weights alone decide
        one, other = trial.start(cell, MOMENTUM, SEED), trial.start(cell, MOMENTUM, SEED)
        steps = jax.jit(trial.steps, static_argnums=0)
        equal(
            steps(cell, MOMENTUM, jnp.uint32(1), data, one, jnp.int32(5)),
            steps(cell, MOMENTUM, SEED, data, other, jnp.int32(5)),
        )


@pytest.mark.parametrize(("optimizer", "schedule"), [("momentum", "constant"), ("adam", "cosine")])
def test_however_the_steps_are_divided_the_result_is_the_same_bit_for_bit(optimizer: str, schedule: str) -> None:
    cell = Cell(network=NETWORK, optimizer=optimizer, schedule=schedule, batch_size=4)
    hyper = trial.complete(cell, schedule_steps=20.0 if schedule == "cosine" else None, learning_rate=0.1)
    data = make_data(26)
    whole = jax.device_get(run(cell, hyper, data, 15))
    assert int(whole.step) == 15
    for parts in ([1, 14], [7, 8], [5, 0, 5, 5], [1] * 15):
        state = trial.start(cell, hyper, SEED)
        for num_steps in parts:
            state = trial.advance(cell, hyper, SEED, data, state, jnp.int32(num_steps))
        equal(jax.device_get(state), whole)


def test_other_values_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    traces, step = 0, trial.step

    def counted(*arguments):
        nonlocal traces
        traces += 1
        return step(*arguments)

    monkeypatch.setattr(trial, "step", counted)
    network = Network(inputs=5, hidden=(2,), outputs=3)  # of this test alone, so that it is not compiled yet
    make_cell = partial(Cell, network=network, optimizer="rmsprop", schedule="step", batch_size=4)
    hyper = trial.complete(make_cell(), schedule_steps=9.0, l2=0.1, label_smoothing=0.1, clip=1.0, warmup_steps=2.0)
    data = make_data(20)
    first = run(make_cell(), hyper, data, 3)
    once = traces
    assert once >= 1
    for number in (0, 1, 2, 100):
        others = {key: value * (1 - number / 1000) for key, value in hyper.items()}
        state = run(make_cell(), others, data, number, seed=jnp.uint32(number))
        state = trial.advance(make_cell(), others, jnp.uint32(number), data, state, jnp.int32(1))
        assert int(state.step) == number + 1
    assert traces == once
    assert int(first.step) == 3


def test_evaluate_compiles_once_for_all_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    traces, normalize = 0, rows.normalize

    def counted(*arguments):
        nonlocal traces
        traces += 1
        return normalize(*arguments)

    monkeypatch.setattr(rows, "normalize", counted)
    network = Network(inputs=5, hidden=(3,), outputs=3)
    data = make_data(33)
    results = []
    for seed in range(3):
        results.append(trial.evaluate(Cell(network=network), model.init(jax.random.key(seed), network), data))
        once = traces if seed == 0 else once
    assert 1 <= traces == once
    assert len({float(sums.loss) for sums in results}) == 3


@pytest.mark.slow
def test_every_optimizer_and_learning_rate_starts_alike_and_sees_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [Cell(network=NETWORK, optimizer=name, batch_size=4) for name in optimizers.BUILT_IN]
    expected = model.init(jax.random.key(SEED), NETWORK)
    seen = []
    gradient = trial.gradient

    def spy(cell, hyper, data, params, index, axis):
        seen.append(np.asarray(index).tolist())
        return gradient(cell, hyper, data, params, index, axis)

    monkeypatch.setattr(trial, "gradient", spy)
    data = make_data(20)
    for cell in cells:
        for learning_rate in (0.1, 1e-3) if cell.optimizer == "sgd" else (0.01,):
            hyper = trial.complete(cell, learning_rate=learning_rate)
            state = trial.start(cell, hyper, SEED)
            equal(state.params, expected)
            trial.step(cell, hyper, SEED, data, state)
            trial.step(cell, hyper, SEED, data, state._replace(step=jnp.int32(9)))
    order = [sampling.minibatch(SEED, jnp.uint32(t), n=20, batch_size=4).tolist() for t in (0, 9)]
    assert seen == order * (len(cells) + 1)
    other = trial.start(cells[0], trial.complete(cells[0]), jnp.uint32(8)).params
    assert np.all(np.asarray(other[0].W) != np.asarray(expected[0].W))


def test_a_trial_is_a_pure_function_that_can_be_mapped_over_its_values() -> None:
    cell = Cell(network=NETWORK, optimizer="momentum", batch_size=4)
    with jax.enable_x64(True):
        data = make_data(20)
        rates, seeds = jnp.array([0.01, 0.1, 0.5]), jnp.array([1, 1, 2], jnp.uint32)

        def final_params(rate, seed):
            hyper = {"learning_rate": rate, "momentum": jnp.asarray(0.9)}
            return trial.steps(cell, hyper, seed, data, trial.start(cell, hyper, seed), jnp.int32(10)).params

        together = jax.jit(jax.vmap(final_params))(rates, seeds)
        for place in range(3):
            hyper = {"learning_rate": rates[place], "momentum": jnp.asarray(0.9)}
            alone = run(cell, hyper, data, 10, seeds[place]).params
            close(jax.tree.map(lambda leaf, place=place: leaf[place], together), alone)


@pytest.mark.parametrize("kind", ["epochs", pytest.param("replacement", marks=pytest.mark.slow)])
def test_the_indices_of_many_steps_can_be_drawn_at_once(kind: str) -> None:
    cell, data, num_steps = Cell(network=NETWORK, batch_size=4, sampling=kind), make_data(21), 32
    hyper = trial.complete(cell)
    drawn = jax.jit(jax.vmap(lambda step: trial.draw(cell, SEED, step, 21)))(jnp.arange(num_steps, dtype=jnp.int32))
    assert drawn.shape == (num_steps, 4)
    step = jax.jit(trial.step, static_argnums=0)
    state = trial.start(cell, hyper, SEED)
    for index in drawn:
        ahead = step(cell, hyper, SEED, data, state, None, index)
        equal(ahead, step(cell, hyper, SEED, data, state))
        state = ahead
    other = step(cell, hyper, SEED, data, state, None, drawn[0])
    assert float(other.loss) != float(step(cell, hyper, SEED, data, state).loss)


def test_the_full_gradient_draws_nothing() -> None:
    full = Cell(network=NETWORK, batch_size=20)
    assert trial.draw(full, SEED, jnp.int32(3), 20) is None
    assert trial.draw(full, SEED, jnp.int32(3), 21) is not None
    replaced = Cell(network=NETWORK, batch_size=20, sampling="replacement")
    assert trial.draw(replaced, SEED, jnp.int32(3), 20) is not None


def test_a_failed_trial_keeps_its_step_and_moves_no_more() -> None:
    network = Network(inputs=5, hidden=(4,), outputs=1, activation="identity", output="identity")
    cell = Cell(network=network, loss="squared", optimizer="sgd", batch_size=4)
    data = make_data(20)
    data = data._replace(y=data.y.astype(jnp.float32))
    hyper = {"learning_rate": 30.0}
    step = jax.jit(trial.step, static_argnums=0)
    state, losses_seen = trial.start(cell, hyper, SEED), []
    while not losses_seen or np.isfinite(losses_seen[-1]):
        assert int(state.failed) == -1
        state = step(cell, hyper, SEED, data, state)
        losses_seen.append(float(state.loss))
    last = len(losses_seen) - 1
    assert 1 < last < 50
    assert (int(state.failed), int(state.step)) == (last, last + 1)

    frozen = jax.device_get(run(cell, hyper, data, 1000))
    assert (int(frozen.failed), int(frozen.step)) == (last, last + 1)
    assert not np.isfinite(frozen.loss)
    later = trial.advance(cell, hyper, SEED, data, jax.tree.map(jnp.asarray, frozen), jnp.int32(10))
    equal(jax.device_get(later), frozen)
    assert int(run(cell, hyper, data, last).failed) == -1
    assert int(run(cell, {"learning_rate": 0.01}, data, 200).failed) == -1


@pytest.mark.parametrize("n", [1, 7, 999, 1000, 1001, 2500])
def test_evaluation_in_pieces_equals_numpy_over_all(n: int) -> None:
    assert trial.EVALUATION_ROWS == 1000, "choose other n, below, at and between multiples"
    cell = Cell(network=NETWORK)
    x, y = raw_rows(n)
    with jax.enable_x64(True):
        params = model.init(jax.random.key(3), NETWORK)
        sums = trial.evaluate(cell, params, make_data(n))
    (W1, b1), (W2, b2) = ([np.asarray(leaf) for leaf in layer] for layer in params)
    z = np.tanh((x - CENTER) * SCALE @ W1.T + b1) @ W2.T + b2
    loss = scipy.special.logsumexp(z, axis=1) - z[np.arange(n), y]
    assert (int(sums.n), int(sums.errors)) == (n, np.count_nonzero(z.argmax(axis=1) != y))
    assert float(sums.loss) == pytest.approx(loss.sum(), rel=1e-11)


def test_evaluation_leaves_regularisation_out() -> None:
    """`evaluate` knows no hyper-parameters; a step's loss is what is minimised, with its regularisation."""
    cell, data = Cell(network=NETWORK, batch_size=40), make_data(40)
    hyper = trial.complete(cell, l2=0.5, label_smoothing=0.1)
    state = trial.start(cell, hyper, SEED)
    plain, regular = (_gradient(cell, h, data, state.params, None)[0] for h in ({}, hyper))
    assert float(trial.evaluate(cell, state.params, data).loss) / 40 == pytest.approx(float(plain), rel=1e-5)
    after = jax.jit(trial.step, static_argnums=0)(cell, hyper, SEED, data, state)
    assert float(after.loss) == pytest.approx(float(regular), rel=1e-5)
    assert float(regular) > 1.1 * float(plain)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_regression_is_evaluated_in_pieces(loss: str) -> None:
    n = 1234
    network = Network(inputs=5, outputs=1, output="identity")
    rng = np.random.default_rng(0)
    y = rng.normal(size=n)
    with jax.enable_x64(True):
        params = model.init(jax.random.key(3), network)
        sums = trial.evaluate(Cell(network=network, loss=loss), params, make_data(n)._replace(y=jnp.asarray(y)))
    residual = ((raw_rows(n)[0] - CENTER) * SCALE @ np.asarray(params[0].W).T)[:, 0] - y
    each = residual**2 / 2 if loss == "squared" else np.abs(residual)
    away = y - y[np.argmin(np.abs(y[:1000] - y[:1000].mean()))]
    expected = [n, each.sum(), np.abs(residual).sum(), (residual**2).sum(), away.sum(), (away**2).sum()]
    np.testing.assert_allclose([float(value) for value in sums], expected, rtol=1e-10)


def standardised(x: np.ndarray, y: np.ndarray) -> Data:
    center, scale = jnp.asarray(x.mean(axis=0), jnp.float32), jnp.asarray(1 / x.std(axis=0), jnp.float32)
    return Data(jnp.asarray(x, jnp.float32), jnp.asarray(y), center, scale)


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("squared", "relu"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("squared", "identity"), ("absolute", "identity"), ("absolute", "relu"))
        ),
    ],
)
def test_a_regression_learns_diabetes(loss: str, output: str) -> None:
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    y = y / y.std() if output == "relu" else (y - y.mean()) / y.std()  # relu: positive targets
    network = Network(inputs=10, hidden=(16,), outputs=1, output=output, init="lecun")
    if output == "relu":  # a start at which the output unit is alive
        network = Network(
            inputs=10, hidden=(16,), outputs=1, output=output, activation="sigmoid", init="truncated_normal"
        )
    cell = Cell(network=network, loss=loss, optimizer="adam", batch_size=64)
    data = standardised(x, y.astype(np.float32))
    hyper = trial.complete(cell, learning_rate=0.01)
    state = trial.start(cell, hyper, SEED)
    if output == "relu":
        state = state._replace(params=(state.params[0], state.params[1]._replace(b=jnp.ones(1))))
    before = losses.metrics(trial.evaluate(cell, state.params, data))
    state = trial.advance(cell, hyper, SEED, data, state, jnp.int32(300))
    after = losses.metrics(trial.evaluate(cell, state.params, data))
    assert after["loss"] < 0.8 * before["loss"]
    assert after["r2"] > 0.4


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_a_binary_classifier_learns_breast_cancer(output: str) -> None:
    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    network = Network(inputs=30, hidden=(8,), outputs=1, output=output)
    cell = Cell(network=network, loss="binary_cross_entropy", batch_size=32)
    data = standardised(x, np.asarray(losses.labels(network, jnp.asarray(y, jnp.int32))))
    assert sorted(set(np.asarray(data.y).tolist())) == ([-1, 1] if output == "tanh" else [0, 1])
    hyper = trial.complete(cell, learning_rate=0.01)
    state = trial.start(cell, hyper, SEED)
    before = losses.metrics(trial.evaluate(cell, state.params, data))
    after = losses.metrics(trial.evaluate(cell, run(cell, hyper, data, 300).params, data))
    assert after["loss"] < 0.2 * before["loss"]
    assert after["accuracy"] > 0.97


def test_complete_adds_regularisation_only_when_asked() -> None:
    cell = Cell(network=NETWORK, optimizer="sgd")
    assert trial.complete(cell, learning_rate=0.3) == {"learning_rate": 0.3}
    assert trial.complete(cell, learning_rate=0.3, l2=None) == {"learning_rate": 0.3}
    full = trial.complete(cell, learning_rate=0.3, l2=0.0, label_smoothing=0.1)
    assert full == {"learning_rate": 0.3, "l2": 0.0, "label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"l2": -0.1}, r"l2 -0\.1 is not allowed; give a number of at least 0"),
        ({"l2": float("nan")}, r"l2 nan is not allowed"),
        (
            {"label_smoothing": 1.0},
            r"label_smoothing 1\.0 is not allowed; give a number from 0 up to but not including 1",
        ),
        ({"learning_rate": -1.0}, r"learning_rate -1\.0 is not allowed; give a positive number"),
        ({"beta1": 0.9}, r"optimizer 'momentum' has no hyper-parameter 'beta1'"),
    ],
)
def test_values_that_are_not_allowed(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trial.complete(Cell(network=NETWORK), **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "squared"}, r"loss 'squared' does not fit output 'softmax'"),
        ({"optimizer": "adma"}, r"unknown optimizer 'adma'"),
        ({"schedule": "cosin"}, r"unknown schedule 'cosin'"),
        ({"sampling": "shuffle"}, r"unknown sampling 'shuffle'"),
    ],
)
def test_cells_that_make_no_sense(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cell(network=NETWORK, **given)


def test_a_batch_size_that_does_not_fit_the_data_is_an_error() -> None:
    for batch_size in (0, 21):
        with pytest.raises(ValueError, match=rf"batch size {batch_size} is not allowed"):
            run(Cell(network=NETWORK, batch_size=batch_size), MOMENTUM, make_data(20), 1)
