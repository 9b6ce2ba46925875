"""The command line: LightningCLI in subclass mode, with a run folder of its own.

python cli.py {fit,validate,test,predict} -c configs/<family>/<name>.yaml [--dotted.key value]
"""

import gc
import os
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
import yaml
from jsonargparse import Namespace
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from lightning_nlp import training
from lightning_nlp.data.predict_input import STDIN
from lightning_nlp.training import quiet, tracker
from lightning_nlp.training.hyperparameters import own_names
from lightning_nlp.training.run_folder import BEST, CONFIG, LAST, newest_unfinished, run_of_checkpoint

DESCRIPTION = "Trains and uses the models of lightning-nlp. Begin with: fit -c configs/word_vectors/sample.yaml"
USAGE = "%(prog)s [-c CONFIG ...] [--dotted.key VALUE ...] [--model.help CLASS] [--data.help CLASS] [--print_config]"
WORDS = {"best": BEST, "last": LAST}
# What a command adds to a config of its own run; leaving it out makes config.yaml repeat the run.
OF_THIS_RUN = ("config", "ckpt_path", "resume", "weights_only", "return_predictions", "verbose")


class Parser(LightningArgumentParser):
    """Writes model configs as one writes them by hand: `config: {dim: 100}`, without what no family set."""

    def dump(self, *args: Any, **kwargs: Any) -> str:  # a signature of jsonargparse's, passed on whole
        """Dumps a config; YAML without comments is tidied."""
        text = super().dump(*args, **kwargs)
        if kwargs.get("format", "yaml") not in ("yaml", "parser_mode") or kwargs.get("with_comments"):
            return text
        return yaml.safe_dump(tidy(yaml.safe_load(text)), sort_keys=False, allow_unicode=True)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends with the message alone; the list of all options would push it off the screen."""
        if self.exit_on_error and "JSONARGPARSE_DEBUG" not in os.environ:
            self.exit(2, f"error: {cause(message)}\nOptions: --help, --model.help CLASS, --data.help CLASS\n")
        super().error(message, ex)


def tidy(node: Any) -> Any:
    """Replaces `{class_path: …Config, init_args: {…}}` of a model config by the numbers its family defined."""
    if isinstance(node, list):
        return [tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"class_path", "init_args"} and (config_class := find_model_config(node["class_path"])):
        return {name: node["init_args"][name] for name in own_names(config_class)}
    return {key: tidy(value) for key, value in node.items()}


def find_model_config(class_path: str) -> Any:
    """Returns the class of that name if it is a model config; None for any other, or one that nobody imported."""
    module, _, name = class_path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return found if hasattr(found, "model_type") else None


def cause(message: str) -> str:
    """Finds what a user must know in a message of jsonargparse: the option, and the innermost of its reasons.

    It lists all that it tried, a line each and inner reasons deeper: `Parser key "model":`, `Errors:`, `- Problem …`.
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    listed = message.partition("Errors:\n")[2].partition("Given value type:")[0]
    reasons = [line for line in listed.splitlines() if line.strip() and "<class 'NoneType'>" not in line]
    if not reasons:
        return message
    depth = max(len(line) - len(line.lstrip(" -")) for line in reasons)
    innermost = [line.strip(" -") for line in reasons if len(line) - len(line.lstrip(" -")) == depth]
    return ": ".join([".".join(keys), "; ".join(innermost)] if keys else ["; ".join(innermost)])


class NLPCLI(LightningCLI):
    """LightningCLI with run folders, checkpoint words, `--resume auto` and checkpoints that stand alone."""

    def __init__(self, args: Sequence[str]) -> None:
        self.arguments = list(args)
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,  # RunFolder writes it where it belongs
            seed_everything_default=42,
            parser_class=Parser,
            parser_kwargs={"description": DESCRIPTION, **{command: {"usage": USAGE} for command in self.subcommands()}},
            args=with_shipped_configs(self.arguments),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--resume` and this project's defaults of the trainer."""
        parser.add_argument(
            "--resume",
            type=Literal["auto"] | None,
            default=None,
            help="auto: go on with the newest unfinished run below trainer.default_root_dir, or start one",
        )
        parser.set_defaults(
            {
                "trainer.logger": {"class_path": "lightning_nlp.training.tracker.WandbTracker"},
                "trainer.default_root_dir": "runs",
                "trainer.use_distributed_sampler": False,  # the data modules share out the work themselves
                # Apple's GPUs have no float64, in which scores are added up.
                **({"trainer.accelerator": "cpu"} if torch.backends.mps.is_available() else {}),
            }
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses without Lightning's warning that `args` and `sys.argv` are both there: here `args` is all."""
        self.config = parser.parse_args(args)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def _parse_ckpt_path(self) -> None:
        """Resolves `best`, `last` and `--resume`; then the checkpoint supplies the model, except in fit.

        In fit the command line says what is trained, with a new learning rate if it says so; in the other commands
        the model is the checkpoint's, and only settings that are not architecture may be changed.
        """
        settings = self.config[self.config.subcommand]
        self.resumed = self._find_unfinished(settings)
        settings.ckpt_path = self._find_checkpoint(settings)
        self.saved_config = self._portable_config()
        given = settings.get("model")
        if settings.ckpt_path is None:
            self._refuse_without_checkpoint()
        elif self.config.subcommand == "fit" and given is not None and read_key(given, "pretrained"):
            write_key(settings.model, "pretrained", settings.ckpt_path)  # whose architecture goes on
        elif self.config.subcommand == "fit":
            refuse_other_architecture(given, settings.ckpt_path)
        else:
            super()._parse_ckpt_path()
            if given is not None:
                self._apply_given_settings(given)

    def _refuse_without_checkpoint(self) -> None:
        if self.config.subcommand != "fit":
            raise ValueError(f"{self.config.subcommand} needs trained weights: give --ckpt_path best, last or a file.")

    def _find_unfinished(self, settings: Namespace) -> Path | None:
        if settings.resume is None:
            return None
        if self.config.subcommand != "fit":
            raise ValueError("--resume continues a fit; for other commands give --ckpt_path best or last.")
        return newest_unfinished(settings.trainer.default_root_dir)

    def _find_checkpoint(self, settings: Namespace) -> str | None:
        if self.resumed is not None:
            last = self.resumed / LAST
            return str(last) if last.exists() else None  # else Lightning finds what the cluster's stop left there
        root = Path(settings.trainer.default_root_dir)
        if settings.ckpt_path not in WORDS:
            if settings.ckpt_path and not Path(settings.ckpt_path).is_file():
                raise ValueError(f"--ckpt_path {settings.ckpt_path}: no such file. Give a file, best or last.")
            return settings.ckpt_path
        for home in [*self._config_folders(settings), root / "latest"]:
            if (file := home / WORDS[settings.ckpt_path]).exists():
                return str(file.resolve())
        raise ValueError(
            f"--ckpt_path {settings.ckpt_path}: no {WORDS[settings.ckpt_path]} below {root / 'latest'}. "
            f"Run fit first, or give -c RUN/{CONFIG} of a run, or the path of a checkpoint."
        )

    @staticmethod
    def _config_folders(settings: Namespace) -> list[Path]:
        """Returns the run folders whose own config.yaml was given, wherever they lie now."""
        files = [Path(str(file)).absolute() for file in settings.get("config") or [] if file]
        return [file.parent for file in files if file.name == CONFIG]

    def _apply_given_settings(self, given: Namespace) -> None:
        """Lets `--model.…` of the command line win over the checkpoint, but for the architecture."""
        settings = self.config[self.config.subcommand]
        keys = given_model_keys(self.arguments)
        if any(key.split(".")[0] == "config" for key in keys):
            refuse_other_architecture(given, settings.ckpt_path)
        for key in keys:
            write_key(settings.model, key, read_key(given, key))

    # -- run folder -------------------------------------------------------------------------------------------------

    def _portable_config(self) -> dict[str, Any]:
        """Returns the resolved config without what belongs to this run alone."""
        parser = self._subcommand_parsers[self.config.subcommand]
        settings = self.config[self.config.subcommand].clone()
        dumped = yaml.safe_load(parser.dump(settings, skip_none=False, skip_validation=True))
        return {key: value for key, value in dumped.items() if key not in OF_THIS_RUN}

    def before_instantiate_classes(self) -> None:
        """Chooses the run folder and puts the loggers there."""
        settings = self.config[self.subcommand]
        if settings.trainer.fast_dev_run:
            self.scratch = tempfile.TemporaryDirectory()  # a trial leaves nothing
            self.run = Path(self.scratch.name, "run")
        elif self.resumed is not None:
            self.run = self.resumed
        elif self.subcommand != "fit":
            self.run = run_of_checkpoint(settings.ckpt_path)
        else:
            self.run = training.new_run(settings.trainer.default_root_dir)
        if self.subcommand == "predict":
            settings.trainer.logger = False
            if not any(argument.startswith("--trainer.precision") for argument in self.arguments):
                settings.trainer.precision = None  # full, whatever it was trained with
            if read_key(settings.data, "predict_file") == STDIN:  # standard output is for the answers alone
                settings.trainer.enable_progress_bar = False
        loggers = settings.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace):
                self._house_logger(logger)

    def _house_logger(self, logger: Namespace) -> None:
        arguments = logger.init_args
        if "save_dir" not in arguments:
            return
        arguments.save_dir = str(self.run.absolute())  # wandb's service may stand in another folder
        name = logger.class_path.rsplit(".", 1)[-1]
        if name.startswith("Wandb"):
            arguments.id = arguments.id or self.run.name  # a resumed fit and a later test continue the run
            arguments.name = arguments.name or "/".join(self.run.absolute().parts[-3:])
            if "mode" in arguments and tracker.must_be_offline():  # Lightning's own, which would wait for a login
                arguments.mode = arguments.mode or "offline"
        elif name == "CSVLogger":
            arguments.name, arguments.version = "csv", f"{self.subcommand}-{training.new_run('').name}"

    def instantiate_classes(self) -> None:
        """Builds data, model and trainer; what they refuse is said in one line."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise ValueError(cause(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that make the run folder, where Lightning puts what it writes itself, too."""
        config = {**self._get(self.config_init, "trainer"), "default_root_dir": str(self.run), **kwargs}
        command = shlex.join(["python", "cli.py", *self.arguments])
        extra = training.callbacks(self.model, self.run, self.saved_config, command)
        plugins = config.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            config["plugins"] = [*plugins, training.StreamedCheckpoints()]
        if config.get("enable_progress_bar") is not False:
            extra.append(training.Progress())
        if config.get("logger") and self.subcommand == "fit":
            extra.append(LearningRateMonitor())
        if config.get("fast_dev_run"):
            extra = [c for c in extra if not isinstance(c, training.FINISHING)]
        return self._instantiate_trainer(config, extra)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        arguments["weights_only"] = True  # plain values alone: a checkpoint runs no code when it is opened
        if subcommand == "predict":
            arguments["return_predictions"] = False  # they go to the file; memory stays flat
        return arguments

    def before_fit(self) -> None:
        """Makes steps on the CPU cheaper."""
        training.keep_freed_memory()

    def before_predict(self) -> None:
        """Keeps freed memory, and Python from searching for garbage every few sentences, in all libraries too."""
        training.keep_freed_memory()
        self.garbage_threshold = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(100_000)

    def after_predict(self) -> None:
        """Lets it search again: a program that calls `main` goes on."""
        gc.set_threshold(*self.garbage_threshold)
        gc.unfreeze()

    def after_fit(self) -> None:
        """Says where the results are."""
        rank_zero_info(f"Run folder: {training.run_folder(self.trainer)}")
        if self.trainer.is_global_zero and (hint := tracker.sync_hint(self.trainer.loggers)):
            rank_zero_info(hint)


def refuse_other_architecture(given: Namespace | None, checkpoint: str) -> None:
    """Compares the model config that was given with that of a checkpoint; what is null is not given.

    Raises:
        ValueError: naming the first number that differs.
    """
    content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    saved = content.get("hyper_parameters", {}).get("config", {})
    holder = read_key(given, "config") if given is not None else Namespace()
    numbers = holder.get("init_args", holder)
    for name, value in saved.items():
        if numbers.get(name) not in (None, value):
            raise ValueError(
                f"model.config.{name} is {numbers[name]}, but the checkpoint was trained with {value}: the "
                "architecture comes from the checkpoint. Leave the option out, or fit a new model with it."
            )


def given_model_keys(arguments: Sequence[str]) -> list[str]:
    """Lists the settings of the model that stand on the command line, without `init_args`."""
    options = [argument[2:].partition("=")[0] for argument in arguments if argument.startswith("--model.")]
    return [".".join(part for part in option.split(".")[1:] if part != "init_args") for option in options]


def read_key(settings: Namespace, key: str) -> Any:
    """Reads a dotted key, passing through `init_args` wherever a class stands in between."""
    holder, name = find_key(settings, key)
    return holder.get(name)


def write_key(settings: Namespace, key: str, value: Any) -> None:
    """Writes a dotted key, passing through `init_args` wherever a class stands in between."""
    holder, name = find_key(settings, key)
    holder[name] = value


def find_key(settings: Namespace, key: str) -> tuple[Namespace, str]:
    """Finds the namespace that holds the last part of a dotted key."""
    *parents, name = key.split(".")
    for parent in parents:
        settings = settings.get("init_args", settings)[parent]
    return settings.get("init_args", settings), name


def with_shipped_configs(arguments: Sequence[str]) -> list[str]:
    """Lets `-c configs/…` name a config of the installed package where there is no such file here."""
    found = []
    for before, argument in zip(["", *arguments], arguments):
        option, equals, value = argument.rpartition("=") if argument.startswith("--config=") else ("", "", argument)
        if before in ("-c", "--config") or equals:
            value = str(shipped(value))
        found.append(option + equals + value)
    return found


def shipped(file: str) -> Path:
    """Returns the path of a config: as given where it exists, else in the package, else in its checkout."""
    here = Path(__file__).parent
    candidates = [Path(file), here / file, here.parent / file]
    return next((path for path in candidates if path.is_file()), Path(file))


def main(args: list[str] | None = None) -> NLPCLI:
    """Runs a command, as from the shell; errors of the user end it with one line.

    Args:
        args: the words after the program's name; None takes them from `sys.argv`.

    Returns:
        The command-line object, with `trainer`, `model`, `datamodule` and `run`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # loaders fork after tokenizers were used
    quiet.keep_back()
    try:
        cli = NLPCLI(sys.argv[1:] if args is None else args)
    except (ValueError, MisconfigurationException) as error:
        tracker.finish(exit_code=1)
        if args is not None or "JSONARGPARSE_DEBUG" in os.environ:
            raise
        # A rank that only learns of another's failure has nothing to add.
        sys.exit(f"error: {' '.join(str(error).split())}" if getattr(rank_zero_only, "rank", 0) == 0 else 1)
    except SIGTERMException:  # Lightning's, which would end the process as if all were well
        tracker.finish(exit_code=128 + signal.SIGTERM)
        sys.exit(128 + signal.SIGTERM)
    except BaseException as error:
        tracker.finish(exit_code=1)
        if getattr(rank_zero_only, "rank", 0) > 0 and "Connection closed by peer" in str(error):
            sys.exit(1)  # the rank that failed has said why
        raise
    tracker.finish()
    return cli


def console() -> None:
    """The console script: it ends with what this returns as exit code, so nothing."""
    main()
