"""The trainer: the loop around the step, and all of its state."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from nnx.errors import NnxError, NonFiniteError
from nnx.functional.checks import as_integer, expect_choice
from nnx.layers import Module
from nnx.losses import Loss
from nnx.optimizers import WeightAverage
from nnx.training.batches import as_batches, count_of, rest_of_epoch, state_of
from nnx.training.history import History
from nnx.training.hooks import Callback
from nnx.training.inference import evaluate_batches, predict
from nnx.training.interruption import Interruption, deferred
from nnx.training.mixed_precision import Policy
from nnx.training.modes import modes_restored
from nnx.training.replaying import Replay
from nnx.training.resumable import Resumable
from nnx.training.step import Optimizer, as_objective, divisor_of, settle_on, step_from
from nnx.training.totals import Metrics, Totals, as_metrics, as_row
from nnx.training.update import Update
from nnx.training.watch import Watch
from nnx.types import Array, Tree


class Trainer(Resumable):
    """Trains a model: the loop over epochs and batches, with metrics, callbacks and a state that can be saved.

    The loop is just this, plus what is around it, and gives the same bits::

        step = nnx.training.make_step(loss, optimizer)
        for epoch in range(epochs):
            for batch in loader:
                value, outputs = step(model, batch)

    On a GPU nothing is read before the end of an epoch, or of 4,096 of its batches.

    Parameters
    ----------
    model : Module
        Trained in place. If it is in training mode, each module is trained in the mode that it has, so that a frozen
        one may stay in evaluation mode; otherwise all are switched to training mode. ``fit`` restores the modes. Open
        sizes are settled on the first batch.
    loss : Loss or callable
        A loss for batches as in :func:`nnx.training.supervised`: inputs and a target, a dict of them, inputs alone,
        with or without weights of the samples. Or an objective of your own,
        ``objective(model, batch) -> (value, outputs)``, for any tree as a batch.
    optimizer : Optimizer
        Made for ``model``.
    metrics : dict or sequence, optional
        Metrics by name, as ``{"accuracy": nnx.metrics.Accuracy()}``, or in a list, then named by their classes. A
        function of outputs and target is averaged over the samples.
    callbacks : sequence of Callback, optional
    policy : Policy or {"float32", "bfloat16", "float16"}
        What the model computes in, for evaluation too. Parameters, optimizer and metrics keep float32; float16 has a
        :class:`nnx.training.LossScale`, which leaves out updates whose gradients overflow.
    accumulate : int
        How many batches make one update, whose gradient is that of the loss of all of them as one batch: each counts by
        what its loss was divided by, see :meth:`nnx.Loss.divisor`. What is left at the end of an epoch makes one too.
    average : nnx.EMA or nnx.SWA, optional
        Made for ``model``, and updated with it. Validation, :meth:`evaluate` and :meth:`predict` use the averaged
        weights, and so does a callback that keeps the best ones; ``model`` itself is left with the last.
    not_finite : {"raise", "skip"}
        What to do with a batch whose loss or gradient is NaN or infinite: end the fit with an error that names the
        batch and the layer, the run as it was before that batch; or leave the batch out, count it, and warn once an
        epoch. To skip, one flag is read from the device in each step.
    compile : bool
        Whether gradients come from a step recorded by :func:`nnx.compile`, whose limits are then those of the loss.

    Attributes
    ----------
    history : History
        A row for each epoch.
    epoch, batch, step : int
        How many epochs are finished, how many batches of the current one were taken, and how many in total.
    batches : int or None
        How many batches the current epoch has, if the data tell.
    skipped : int
        How many batches were left out.
    columns : tuple of str
        What a row of the current fit has, those that callbacks add included.
    stopped, paused : str or None
        Why the fit was ended by :meth:`stop` or :meth:`pause`.
    replay : Replay
        Its ``why`` says why gradients do not come from a record; it is empty if they do.
    error : BaseException or None
        For callbacks, at the end of a fit: what ended it.

    Raises
    ------
    ArgumentError
        If an argument is not what is named above.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x, y = np.asarray([[-1.0], [1.0]], np.float32), np.asarray([0, 1])
    >>> model = nnx.Linear(1, 2, rng=0)
    >>> trainer = nnx.Trainer(
    ...     model, nnx.CrossEntropy(), nnx.SGD(model, learning_rate=1.0), metrics=[nnx.metrics.Accuracy()]
    ... )
    >>> history = trainer.fit((x, y), validation=(x, y), epochs=10)
    >>> history.rows[-1]["validation_accuracy"]
    1.0
    >>> trainer.evaluate((x, y))["accuracy"]
    1.0
    >>> trainer.predict(x).shape
    (2, 2)
    """

    def __init__(
        self,
        model: Module,
        loss: Loss | Callable[[Any, Any], tuple[Array, Any]],
        optimizer: Optimizer,
        *,
        metrics: Any = (),
        callbacks: Sequence[Callback] = (),
        policy: Policy | str = "float32",
        accumulate: int = 1,
        average: WeightAverage | None = None,
        not_finite: str = "raise",
        compile: bool = False,
    ) -> None:
        super().__init__(model, loss, Update(optimizer, policy, accumulate, average), metrics, callbacks)
        expect_choice(not_finite, ("raise", "skip"), "not_finite")
        self.not_finite = not_finite
        self.replay = Replay(compile)
        self._stated = as_objective(loss)
        self.objective: Callable[[Any, Any], Any] = self._stated  # a callback may put another function around it

    def fit(self, data: Any, validation: Any = None, *, epochs: int, batch_size: int = 32, seed: int = 0) -> History:
        """Train for a number of epochs, and evaluate after each.

        A fit that was interrupted, or whose state was loaded, goes on where it was: the same call then takes it to the
        same end. Otherwise it begins anew, with the epoch after the last.

        Parameters
        ----------
        data, validation : arrays, DataLoader or iterable of batches
            Arrays as a tuple ``(x, target)``, a dict by name, or one array. Of a list of batches or any other iterable
            one pass is an epoch.
        epochs : int
            How many, those before an interruption included.
        batch_size, seed : int
            For arrays; the seed decides the order of the samples. For validation their order is kept.

        Returns
        -------
        History
            That of the trainer.

        Raises
        ------
        NonFiniteError
            If a loss or gradient is NaN or infinite, with the batch, the step and where it began. On a GPU it comes at
            the end of the epoch.
        DataError
            If the data have no batch.
        ArgumentError
            If an argument is out of range.
        UsageError
            If a fit of this trainer is running, as where a callback calls it.
        KeyboardInterrupt, SystemExit
            After Ctrl-C or SIGTERM, once the batch is finished, also one of validation, which is then repeated when the
            fit goes on; a second signal does not wait.
        """
        loader = as_batches(data, as_integer(batch_size, "batch_size", least=1), shuffle=True, seed=seed)
        validating = None if validation is None else as_batches(validation, batch_size, shuffle=False)
        goal = as_integer(epochs, "epochs", least=1) + self._begin(loader, validates=validation is not None)
        self._goes_on, self.error = True, None  # until the fit has ended well
        with self._running(), modes_restored(self.model, self.loss), deferred() as interruption:
            if not self.model.training:
                self.model.train()
            try:
                self._hooks.call("on_fit_start", self)
                while self.epoch < goal and not self._is_ending:
                    self._train_epoch(loader, validating, interruption)
                self._goes_on = self.paused is not None
            except BaseException as error:
                self.error = error
                if self._watch is not None:
                    self._watch.look_back(error)
                raise
            finally:
                self._watch, interruption.shielded = None, True
                self._hooks.end_fit(self)
            interruption.check()
        return self.history

    def evaluate(self, data: Any, *, metrics: Any = None, batch_size: int = 32) -> dict[str, Any]:
        """Return the loss and the metrics over data; see :func:`nnx.training.evaluate`."""
        chosen = self.metrics if metrics is None else as_metrics(metrics)
        return self._evaluate(as_batches(data, batch_size, shuffle=False), chosen, "batch")

    def predict(self, data: Any, *, batch_size: int = 32) -> Any:
        """Return the model's outputs for all samples; see :func:`nnx.training.predict`."""
        with self.averaged():
            return predict(self.model, data, batch_size=batch_size, policy=self.policy, device=self.device)

    def averaged(self) -> AbstractContextManager[Any]:
        """Return a block in which the model has the averaged weights, if there is an average, as to save them."""
        return nullcontext() if self.average is None else self.average.applied()

    def _train_epoch(self, loader: Any, validation: Any, interruption: Interruption) -> None:
        epoch, first, self.batches = self.epoch + 1, self.step - self.batch, count_of(loader)
        if not self.batch:
            self._position = state_of(loader)
            self._hooks.call("on_epoch_start", self)
        watch = self._watch = Watch(
            self.model,
            self.loss,
            lambda number: f"epoch {epoch}, batch {number} (step {first + number})",
            self._snapshot,
            self._restore,
            self.batch,
            skips=self.not_finite == "skip",
        )
        step = step_from(lambda *own: self.replay.of(self._update, self.objective)(*own), self._update, self._examine)
        for batch in rest_of_epoch(loader, self.batch, self.device):
            self._hooks.call("on_batch_start", self, batch)
            if not self.step:
                settle_on(self.model, batch)
            watch.begin(batch)
            with self._whole_or_undone(watch), self._update.overflow_expected():
                _, (value, outputs) = step(self.model, batch)
            self.batch, self.step, self._position = self.batch + 1, self.step + 1, state_of(loader)
            self._hooks.call("on_batch_end", self, value, outputs)
            interruption.check()
            if self._is_ending:
                watch.finish(watch.flags())
                return
        self._update_with_rest()
        self._end_epoch(loader, validation, watch, interruption)
        interruption.check()

    def _examine(self, batch: Tree, _: Array, found: tuple[Array, Any], gradients: Mapping[str, Array]) -> Any:
        """Look at a batch before the update; return the gradients for it, or None if there is none."""
        watch: Any = self._watch
        value, outputs = found
        # Scaled gradients may overflow: the loss scale looks at them.
        if not watch.examine(batch, value, None if self._update.scale is not None else gradients):
            self.skipped += 1
            return None
        divisor = divisor_of(self.objective, self._stated)(batch, outputs)
        self._totals.update(batch, value, outputs, divisor)
        gathered = self._update.gather(gradients, divisor)
        return None if gathered is None else self._hooks.gradients(self, gathered)

    def _update_with_rest(self) -> None:
        """Make an update with what is left of an epoch; if a callback raises, it is still left."""
        update = self._update.snapshot(whole=True)
        try:
            if (rest := self._update.rest()) is not None:
                self._update.step(self._hooks.gradients(self, rest))
        except BaseException:
            self._update.restore(update)
            raise

    @contextmanager
    def _whole_or_undone(self, watch: Watch) -> Iterator[None]:
        """If a batch is not finished, put buffers and metrics back, so that the state is that of the batch before."""
        try:
            yield
            watch.end()
        except BaseException as error:
            watch.undo()
            if isinstance(error, NnxError) and "epoch" not in error.message:
                error.message += f" (in epoch {self.epoch + 1}, batch {self.batch + 1})"
            raise

    def _evaluate(self, batches: Any, metrics: Metrics, where: str, **options: Any) -> dict[str, Any]:
        with self.averaged():
            objective = self.policy.objective(self.objective)
            what = (self.model, self.loss, objective, divisor_of(self.objective, self._stated), batches, metrics)
            return evaluate_batches(*what, where, self.device, **options)

    def _end_epoch(self, loader: Any, validation: Any, watch: Watch, interruption: Interruption) -> None:
        if watch.first_skipped is not None and self._totals.is_empty:
            raise NonFiniteError(
                f"every batch of epoch {self.epoch + 1} was left out; the first: {watch.first_skipped}"
            )
        row: dict[str, float] = {"epoch": self.epoch + 1, **as_row(self._totals.read(watch))}
        if validation is not None:
            where = f"epoch {self.epoch + 1}, validation batch"
            found = self._evaluate(validation, self.metrics, where, after_batch=interruption.check)
            row |= as_row(found, "validation_")
        if watch.first_skipped is not None:
            warnings.warn(
                f"batches left out so far: {self.skipped}; the first of epoch {self.epoch + 1}: {watch.first_skipped}",
                RuntimeWarning,
                stacklevel=4,
            )
        self.history.add(row)
        self._watch, self._totals = None, Totals(self.metrics, for_history=True)
        self.epoch, self.batch, self._position = self.epoch + 1, 0, state_of(loader)
        self._hooks.call("on_epoch_end", self, self.history.rows[-1])
