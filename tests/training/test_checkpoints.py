from types import SimpleNamespace

from lightning_nlp.training.checkpoints import LastCheckpoint


def test_it_saves_on_time_but_never_between_accumulated_batches(monkeypatch):
    saved = []
    trainer = SimpleNamespace(accumulate_grad_batches=4, world_size=1)
    callback = LastCheckpoint(minutes=0)
    for batch in range(10):
        monkeypatch.setattr(callback, "_save", lambda _, batch=batch: saved.append(batch))
        callback.on_train_batch_end(trainer, None, None, None, batch)
    assert saved == [3, 7]
