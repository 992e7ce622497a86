"""`linescribe transcribe`: audio files through the same speech detection and models as calls."""

from __future__ import annotations

import asyncio
import stat
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from adapters.media.audio_file import MediaFileError
from adapters.stream import AudioFormat
from asr.types import DecodeOptions, ModelLoadError
from asr.weights import WeightsError
from gateway import log
from gateway.cli import transcribe_options as options
from gateway.cli.check_config import BAD_SETTINGS, config_option, settings_or_exit
from gateway.cli.transcribe_output import SUFFIXES, PrintError, TranscriptOutput, Wanted, choose, exit_with
from gateway.cli.transcribe_progress import Preparing, Watcher
from gateway.file_transcript import clock_text
from gateway.models import start_models
from gateway.transcribing import FileTranscriber, Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Models, Settings
    from gateway.cli.transcribe_output import Format

clock = time.monotonic  # noqa: TID251  a command names its clock


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was asked for."""

    recordings: tuple[Recording, ...]
    settings: Settings
    options: DecodeOptions
    wanted: Wanted


@click.command(short_help="Transcribe audio files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@config_option
@click.option("--format", "form", type=click.Choice(list(SUFFIXES)), default="text", show_default=True)
@click.option(
    "--output",
    "-o",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write NAME.txt, .json, .srt or .vtt there for each FILE, instead of all to standard output.",
)
@click.option("--force", is_flag=True, help="Let --output write over files that are there.")
@click.option(
    "--channels",
    type=click.Choice(["mix", "split"]),
    default="mix",
    show_default=True,
    help="Hear all channels as one, or each by itself: recordings of calls often have a speaker on each.",
)
@click.option(
    "--labels",
    callback=options.labels,
    metavar="NAME,NAME",
    help="Who speaks on the channels of --channels split. Without it: left, right.",
)
@click.option("--model", callback=options.text, metavar="NAME", help="Instead of the settings' models.final.")
@click.option("--language", metavar="CODE", help="Such as en, or auto; instead of the settings' models.language.")
@click.option("--translate", is_flag=True, help="Write the text in English, whatever is spoken.")
@click.option("--profile", metavar="NAME", help="How hard to try: realtime, accurate or one of the settings' own.")
@click.option("--words", is_flag=True, help="With --format json: tell when each word was said.")
@click.option("--hotwords", callback=options.text, metavar="TEXT", help="Names and terms that are to be expected.")
@click.option(
    "--prompt",
    callback=options.text,
    metavar="TEXT",
    help="What may have been said before: lets the model follow its style.",
)
@click.option(
    "--timestamps/--no-timestamps",
    default=None,
    help="With --format text: when each utterance was said. Without either: on a terminal only, so that what goes"
    " to a file or another program is the bare text.",
)
@click.option(
    "--raw",
    type=click.Choice(list(options.ENCODINGS)),
    help="Every FILE is mono audio in this encoding without a header. Needless for names that tell, such as .ulaw,"
    " .alaw, .sln and .sln16.",
)
@click.option(
    "--rate",
    type=options.RATES_HZ,
    callback=options.rate,
    metavar="HZ",
    help="The sample rate of --raw: 8000 without it.",
)
def transcribe(files: tuple[Path, ...], *, file: Path | None, directory: Path | None, **given: Any) -> None:
    """Transcribe audio files, by the same speech detection and models as calls.

    FILE is whatever FFmpeg reads: WAV (mu-law too), MP3, Opus, M4A, video with sound ... or raw telephone audio
    as Asterisk records it. Settings are those of `linescribe run`; the default language is English.

    Text comes as it is ready, one utterance a line. Ctrl-C ends it. Exit status 0 when everything was
    transcribed, 1 when something was not (each is named on standard error, and the rest is done all the same),
    2 for options or settings that cannot be used.

    \b
    Examples:
      linescribe transcribe voicemail.wav
      linescribe transcribe --channels split --labels customer,agent call.wav
      linescribe transcribe --format srt --output subtitles *.mp4
      linescribe transcribe --format json --words call.mp3 | jq .
      linescribe transcribe --raw slin --rate 16000 recording.raw
    """
    job = _job(files, file, directory, **given)
    try:
        sys.exit(_transcribe(job))
    except KeyboardInterrupt:
        sys.exit(130)


def _job(
    files: tuple[Path, ...],
    file: Path | None,
    directory: Path | None,
    *,
    form: Format,
    force: bool,
    channels: str,
    labels: tuple[str, ...],
    model: str | None,
    language: str | None,
    translate: bool,
    profile: str | None,
    words: bool,
    hotwords: str | None,
    prompt: str | None,
    timestamps: bool | None,
    raw: str | None,
    rate: int | None,
) -> _Job:
    """Make of the options what they mean together, or exit."""
    subtitles = form in {"srt", "vtt"}
    _refuse(rate is not None and raw is None, "--rate is the rate of --raw: give both.")
    _refuse(bool(labels) and channels != "split", "--labels names the channels of --channels split: give both.")
    _refuse(words and form != "json", "--words shows in --format json only.")
    _refuse(timestamps is not None and form != "text", "--timestamps is for --format text; the others have them.")
    _refuse(force and directory is None, "--force is for --output.")
    _refuse(subtitles and directory is None and len(files) > 1, f"{form} of several files needs --output DIR.")
    _need_output(directory)
    settings = settings_or_exit(file)
    models = _models(settings.models, model, language=language, translate=translate, profile=profile)
    encoding = AudioFormat(options.ENCODINGS[raw], rate or 8_000) if raw else None
    recordings = (Recording(path=each, raw=encoding, split=channels == "split", labels=labels) for each in files)
    return _Job(
        recordings=tuple(recordings),
        settings=msgspec.structs.replace(settings, models=models),
        options=DecodeOptions(
            profile=models.known_profiles[models.profile],
            task=models.task,
            word_times=words or subtitles,
            hotwords=hotwords,
            initial_prompt=prompt,
        ),
        wanted=choose(files, directory, form=form, force=force, timestamps=timestamps),
    )


def _need_output(directory: Path | None) -> None:
    if directory is None and sys.stdout is None:
        exit_with("standard output is closed: open it, or give --output DIR", 1)


def _refuse(wrong: bool, text: str) -> None:
    if wrong:
        raise click.UsageError(text)


def _models(models: Models, model: str | None, *, language: str | None, translate: bool, profile: str | None) -> Models:
    """Choose one model for everything: there are no interims here."""
    name = model or models.final
    given = {"--model": model, "--language": language, "--translate": translate, "--profile": profile}
    try:
        return msgspec.structs.replace(
            models,
            interim=name,
            final=name,
            language=language or models.language,
            task="translate" if translate else models.task,
            profile=profile or models.profile,
        )
    except ValueError as error:
        blamed = " and ".join(option for option, value in given.items() if value) or "settings"
        exit_with(f"{blamed}: {error}", BAD_SETTINGS)


def _transcribe(job: _Job) -> int:
    """Do it; tell the exit status."""
    # What the parts log is the gateway's; here only what the operator must know.
    log.configure(msgspec.structs.replace(job.settings.log, level="warning", format="text"))
    watcher = Watcher(clock)
    output = TranscriptOutput(job.wanted, watcher)
    recordings = _readable(job.recordings, output, watcher)
    if not recordings:
        return 1
    try:
        seconds = asyncio.run(_run(job, recordings, output))
    except (WeightsError, ModelLoadError) as error:
        exit_with(str(error), 1)
    except ExceptionGroup as group:
        _give_up(group)
    finally:
        watcher.stop()
    _sum_up(output, seconds)
    return int(output.faults > 0)


def _readable(recordings: Sequence[Recording], output: TranscriptOutput, watcher: Watcher) -> list[Recording]:
    """Leave out what cannot be opened, before a model is fetched and loaded for nothing."""
    readable = []
    for recording in recordings:
        try:
            watcher.expect(_seconds(recording))
        except MediaFileError as error:
            output.unreadable(recording, error)
        else:
            readable.append(recording)
    return readable


def _seconds(recording: Recording) -> float | None:
    """Tell how long a file says it is. A pipe is not asked: it can be read only once."""
    try:
        mode = recording.path.stat().st_mode
    except OSError as error:
        raise MediaFileError(error.strerror) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return None
    with closing(recording.open()) as audio:
        return audio.duration_seconds


async def _run(job: _Job, recordings: Sequence[Recording], output: TranscriptOutput) -> float:
    """Load the model and transcribe; tell in how many seconds, without the loading."""
    with Preparing() as shown:
        engine = await start_models(job.settings.models, shown.fetched, shown.loading)
    try:
        began = clock()
        transcriber = FileTranscriber(
            engine,
            models=job.settings.models,
            speech=job.settings.speech,
            options=job.options,
            output=output,
            clock=clock,
        )
        await transcriber.run(recordings)
        return clock() - began
    finally:
        await engine.close()


def _give_up(group: ExceptionGroup[Exception]) -> NoReturn:
    """Say why it cannot go on; what is nobody's fault but ours is raised again."""
    if group.split((OSError, PrintError))[1]:
        raise group
    error: Exception = group.subgroup(PrintError) or group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error.__cause__, BrokenPipeError):
        raise error.__cause__  # click ends quietly when the reader of our output has gone
    exit_with(str(error), 1)


def _sum_up(output: TranscriptOutput, seconds: float) -> None:
    files = f"{output.files} file{'s'[: output.files != 1]}"
    speed = f", {output.audio_ms / 1000 / seconds:.1f} x real time" if seconds else ""
    rest = "; not all of it, see above" if output.faults else ""
    text = f"{files}, {clock_text(output.audio_ms)} of audio in {clock_text(round(seconds * 1000))}{speed}{rest}"
    click.echo(f"linescribe: {text}", err=True)
