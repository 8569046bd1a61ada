"""All trials read at once are what each is read alone, from rows in any order and looks at any steps."""

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_by_hand import STUDY, table

from mlp_jax.analysis import crossing
from mlp_jax.analysis.crossing import Definition
from mlp_jax.study.histories import Histories, last_rows, piece, where

OWN = Definition(0.9, less_is_better=False)


def random_rows(seed: int, score: str) -> pandas.DataFrame:
    """Trials of two cells that end anywhere, most at steps of the same grid, some at steps of their own."""
    rng, made = np.random.default_rng(seed), []
    for cell in "ab":
        grid = np.unique(rng.integers(0, 500, 40))
        for number in range(5):
            step = grid if number < 3 else np.unique(rng.integers(0, 500, 30))
            step = step[: rng.integers(1, len(step) + 1)]
            scores = np.round(np.linspace(0.5, 1, len(step)) + rng.normal(0, 0.1, len(step)), 2)
            scores[rng.random(len(step)) < 0.01] = np.nan
            made.append(
                pandas.DataFrame(
                    {"step": step, score: scores, "steps_to_target": np.inf, "seed": number, "phase": "tuning"}
                )
            )
            made[-1] = made[-1].assign(cell=cell, trial=f"{cell}-{number}")
    return pandas.concat(made).sample(frac=1, random_state=seed, ignore_index=True)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.25]), st.integers(1, 3), st.booleans())
def test_all_at_once_are_what_each_is_alone(seed, smoothing, every, squared):
    score = "validation_rmse" if squared else "validation_accuracy"
    made = random_rows(seed, score)
    definition = Definition(0.8, squared, smoothing, every)
    histories = Histories([piece(made, score)])
    steps = dict(zip(histories.trials["trial"], histories.steps_to_target(definition)))
    power = 2 if squared else 1
    for name, own in made.sort_values("step").groupby("trial"):
        alone = definition._replace(target=0.8**power)
        step, values = own["step"].to_numpy(float), own[score].to_numpy(float) ** power
        assert steps[name] == crossing.steps_to_target(step, values, alone)


def test_a_trial_is_its_last_row_in_the_order_in_which_trials_begin():
    made = random_rows(3, "validation_accuracy")
    histories = Histories([piece(made, "validation_accuracy")])
    assert histories.trials["trial"].tolist() == list(dict.fromkeys(made["trial"]))
    last = made.loc[made.groupby("trial")["step"].idxmax()].set_index("trial")
    expected = last.loc[histories.trials["trial"]].reset_index()[histories.trials.columns.tolist()]
    pandas.testing.assert_frame_equal(histories.trials, expected)
    pandas.testing.assert_frame_equal(last_rows(made), made.loc[sorted(made.groupby("trial")["step"].idxmax())])


def test_pieces_together_are_what_all_rows_are():
    made = table()
    parts = [own for _, own in made.groupby(["cell", "phase", "round"], sort=False)]
    whole, together = (Histories([piece(part, "validation_accuracy") for part in of]) for of in ([made], parts))
    pandas.testing.assert_frame_equal(together.trials, whole.trials)
    pandas.testing.assert_frame_equal(together.winners, where(made, phase="winners").reset_index(drop=True))
    easier = OWN._replace(target=0.85, every=2)
    np.testing.assert_array_equal(together.steps_to_target(easier), whole.steps_to_target(easier))


def test_by_the_definition_that_ended_them_they_have_the_steps_that_they_ended_with():
    histories = Histories([piece(table().sample(frac=1, random_state=1), "validation_accuracy")])
    own = histories.trials["steps_to_target"].to_numpy(float)
    assert np.isfinite(own).sum() > 100
    assert np.isinf(own).sum() > 10
    np.testing.assert_array_equal(histories.steps_to_target(OWN), own)


def test_a_trial_that_ended_at_its_target_before_it_met_an_easier_one_counts_as_met_there():
    histories = Histories([piece(table(), "validation_accuracy")])
    own = histories.trials["steps_to_target"].to_numpy(float)
    fewer = OWN._replace(target=0.895, every=4)
    cut = np.isinf(histories.steps_to_target(fewer)) & np.isfinite(own)
    assert cut.any()
    read = histories.read(fewer)["steps_to_target"].to_numpy(float)
    np.testing.assert_array_equal(read[cut], own[cut])
    assert (read[np.isfinite(own)] <= own[np.isfinite(own)]).all()


def test_rows_are_chosen_by_their_values():
    made = table()
    chosen = where(made, phase="winners", optimizer="adam", batch_size=16)
    assert len(chosen) == len(made.query("phase == 'winners' and optimizer == 'adam' and batch_size == 16")) > 0
    assert where(made, optimizer="nadam").empty


@pytest.mark.parametrize("reaches", [True, False])
def test_the_oracle_makes_rows_that_a_program_could_have_made(reaches):
    made = table(reaches=reaches)
    ends = made.sort_values("step").groupby("trial").tail(1)
    met = np.isfinite(ends["steps_to_target"])
    assert met.any() == reaches
    assert (ends.loc[met, "step"] == ends.loc[met, "steps_to_target"]).all()
    assert (ends["step"] == ends["steps"]).all()
    assert set(ends.loc[~met, "status"]) <= {"INCOMPLETE", "INFEASIBLE", "COMPLETE"}
    assert made.groupby("cell")["optimizer"].nunique().max() == 1
    assert ends["batch_size"].nunique() == len(STUDY.batch_sizes)
