"""The command line: LightningCLI in subclass mode, with a run folder of its own.

python cli.py {fit,validate,test,predict} -c configs/<family>/<name>.yaml [--dotted.key value]
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from jsonargparse import Namespace
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_info

from lightning_nlp import training
from lightning_nlp.training import quiet, tracker
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
            self.exit(2, f"error: {message}\nOptions: --help, --model.help CLASS, --data.help CLASS\n")
        super().error(message, ex)


def tidy(node: Any) -> Any:
    """Replaces `{class_path: …Config, init_args: {…}}` of a model config by the numbers its family defined."""
    if isinstance(node, list):
        return [tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"class_path", "init_args"} and (own := own_numbers(node["class_path"])) is not None:
        return {name: value for name, value in node["init_args"].items() if name in own}
    return {key: tidy(value) for key, value in node.items()}


def own_numbers(class_path: str) -> set[str] | None:
    """Returns the fields that a model config adds to transformers' base; None for any other class."""
    module, _, name = class_path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    if "transformers" not in sys.modules or found is None:
        return None
    from transformers import PreTrainedConfig

    if not (isinstance(found, type) and issubclass(found, PreTrainedConfig)):
        return None
    names = [{field.name for field in fields(config)} for config in (found, PreTrainedConfig)]
    return names[0] - names[1]


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
        logger = {"class_path": "pytorch_lightning.loggers.WandbLogger", "init_args": {"project": "lightning-nlp"}}
        parser.set_defaults(
            {
                "seed_everything": 42,
                "trainer.logger": logger,
                "trainer.default_root_dir": "runs",
                "trainer.use_distributed_sampler": False,  # the data modules share out the work themselves
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
        settings.ckpt_path = self._find_checkpoint(settings)
        self.saved_config = self._portable_config()
        if self.config.subcommand == "fit" or settings.ckpt_path is None:
            return
        given = settings.get("model")
        super()._parse_ckpt_path()
        if given is not None:
            self._apply_given_settings(given)

    def _find_checkpoint(self, settings: Namespace) -> str | None:
        root = Path(settings.trainer.default_root_dir)
        if settings.resume == "auto":
            if self.config.subcommand != "fit":
                raise ValueError("--resume continues a fit; for other commands give --ckpt_path best or last.")
            run = newest_unfinished(root)
            return str(run / LAST) if run else None
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
        for key in given_model_keys(self.arguments):
            value, saved = read_key(given, key), read_key(settings.model, key)
            if key.split(".")[0] == "config" and value != saved:
                raise ValueError(
                    f"--model.{key} is {value}, but the checkpoint was trained with {saved}: the architecture comes "
                    "from the checkpoint. Leave the option out, or fit a new model with it."
                )
            write_key(settings.model, key, value)

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
        elif settings.ckpt_path and (self.subcommand != "fit" or settings.resume):
            self.run = run_of_checkpoint(settings.ckpt_path)
        else:
            self.run = training.new_run(settings.trainer.default_root_dir)
        if self.subcommand == "predict":
            settings.trainer.logger = False
            if read_key(settings.data, "predict_file") == "-":  # standard output is for the answers alone
                settings.trainer.enable_progress_bar = False
        loggers = settings.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace):
                self._house_logger(logger)

    def _house_logger(self, logger: Namespace) -> None:
        arguments = logger.init_args
        if "save_dir" not in arguments:
            return
        arguments.save_dir = str(self.run)
        name = logger.class_path.rsplit(".", 1)[-1]
        if name == "WandbLogger":
            arguments.id = arguments.id or tracker.run_id(self.run)
            arguments.name = arguments.name or "/".join(self.run.absolute().parts[-3:])
            if not arguments.offline and tracker.must_be_offline():
                arguments.mode = arguments.mode or "offline"
        elif name == "CSVLogger":
            arguments.name, arguments.version = "csv", f"{self.subcommand}-{training.new_run('').name}"

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that make the run folder."""
        config = {**self._get(self.config_init, "trainer"), **kwargs}
        command = shlex.join(["python", "cli.py", *self.arguments])
        extra = training.callbacks(self.model, self.run, self.saved_config, command)
        if config.get("enable_progress_bar") is not False:
            extra.append(training.Progress())
        if config.get("fast_dev_run"):
            extra = [c for c in extra if not isinstance(c, training.FINISHING)]
        return self._instantiate_trainer(config, extra)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        arguments["weights_only"] = True  # plain values alone: a checkpoint runs no code when it is opened
        if subcommand == "predict":
            arguments["return_predictions"] = False  # they go to the file; memory stays flat
        return arguments

    def after_fit(self) -> None:
        """Says where the results are."""
        rank_zero_info(f"Run folder: {training.run_folder(self.trainer)}")
        if self.trainer.is_global_zero and (hint := tracker.sync_hint(self.trainer.loggers)):
            rank_zero_info(hint)


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
        return NLPCLI(sys.argv[1:] if args is None else args)
    except ValueError as error:
        if args is not None or "JSONARGPARSE_DEBUG" in os.environ:
            raise
        sys.exit(f"error: {error}")
    finally:
        tracker.finish()
