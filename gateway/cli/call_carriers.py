"""`linescribe call twilio` and its relatives: calls of media streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.callers.media_stream_plan import Dialect, End
from gateway.cli.call_media_stream import end_option, files_argument, parameter_option, play, stream_options
from gateway.cli.call_options import add_options
from gateway.cli.call_proofs import (
    AUTH_TOKEN,
    AUTHORIZATION,
    PLIVO,
    PLIVO_AUTH_TOKEN,
    SIGNATURE,
    authorization_options,
    authorize,
    sign,
    sign_plivo,
    signing_options,
)

if TYPE_CHECKING:
    from gateway.cli.call_options import Command


def _number_options(command: Command) -> Command:
    return add_options(
        command,
        [
            click.option(
                "--from", "calling", metavar="NUMBER", default="+15550100", show_default=True, help="Who calls."
            ),
            click.option(
                "--to", "called", metavar="NUMBER", default="+15550101", show_default=True, help="Who is called."
            ),
        ],
    )


@click.command()
@files_argument
@stream_options(Dialect.TWILIO)
@end_option()
@parameter_option("A <Parameter> of the stream.")
@signing_options(AUTH_TOKEN)
def twilio(
    files: tuple[Path, ...], *, url: str, auth_token_file: Path | None, signed_url: str | None, **options: Any
) -> None:
    """Call like Twilio's <Start><Stream>: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, as mu-law in JSON; silence is sent, too. A call of a FILE has the inbound track
    alone, one of --both has two. Nothing may come back on such a stream: what does is printed. Keys Twilio tells
    on streams of <Connect> alone; --digit presses them here, too. Exit status 1 if a file cannot be read or a call
    does not come about, or is ended by the gateway or broken off.

    The request is signed where the account's auth token is known. The gateway checks the URL that Twilio called,
    which is its public one: name it by --signed-url when you call it by another.

    \b
    Examples:
      linescribe call twilio greeting.wav
      linescribe call twilio --both caller.wav agent.wav --parameter call_ref=17
      linescribe call twilio --calls 10 --loss 0.02 --jitter 80 greeting.wav
      linescribe call twilio --auth-token-file auth.token --signed-url wss://calls.example/twilio greeting.wav
      linescribe call twilio --end break --hangup-at 5 greeting.wav
    """
    play(Dialect.TWILIO, files, url=url, proof=sign(url, auth_token_file, signed_url), remedies=SIGNATURE, **options)


@click.command()
@files_argument
@stream_options(Dialect.TELNYX)
@end_option()
@click.option(
    "--reorder",
    default=0.0,
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Let this share of the packets come after the next one of its track.",
)
@_number_options
@click.option("--client-state", metavar="TEXT", default="", help="What Telnyx was told to say of the call.")
@authorization_options
def telnyx(
    files: tuple[Path, ...],
    *,
    calling: str,
    called: str,
    client_state: str,
    user: str | None,
    password_file: Path | None,
    token_file: Path | None,
    **options: Any,
) -> None:
    """Call like Telnyx's media streaming: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, in JSON; silence is sent, too. Telnyx promises no order: --reorder swaps packets.
    Exit status 1 if a file cannot be read or a call does not come about, or is ended by the gateway or broken off.

    \b
    Examples:
      linescribe call telnyx greeting.wav
      linescribe call telnyx --both caller.wav agent.wav --reorder 0.1
      linescribe call telnyx --encoding L16 --from +15550177 greeting.wav
      linescribe call telnyx --url wss://calls.example/telnyx --token-file stream.token greeting.wav
    """
    play(
        Dialect.TELNYX,
        files,
        proof=authorize(user, password_file, token_file),
        remedies=AUTHORIZATION,
        told={"calling": calling, "called": called, "client_state": client_state},
        **options,
    )


@click.command()
@files_argument
@stream_options(Dialect.SIGNALWIRE)
@end_option()
@parameter_option("A <Parameter> of the stream.")
@authorization_options
def signalwire(
    files: tuple[Path, ...],
    *,
    user: str | None,
    password_file: Path | None,
    token_file: Path | None,
    **options: Any,
) -> None:
    """Call like SignalWire's <Start><Stream>: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, in JSON that is Twilio's; silence is sent, too. Exit status 1 if a file cannot be
    read or a call does not come about, or is ended by the gateway or broken off.

    \b
    Examples:
      linescribe call signalwire --both caller.wav agent.wav
      linescribe call signalwire --encoding L16 --rate 24000 greeting.wav
      linescribe call signalwire --url wss://calls.example/signalwire --token-file stream.token greeting.wav
    """
    proof = authorize(user, password_file, token_file)
    play(Dialect.SIGNALWIRE, files, proof=proof, remedies=AUTHORIZATION, **options)


@click.command()
@files_argument
@stream_options(Dialect.PLIVO)
@end_option(End.CLOSE)
@parameter_option("One of the stream's extraHeaders.")
@signing_options(PLIVO_AUTH_TOKEN)
def plivo(
    files: tuple[Path, ...], *, url: str, auth_token_file: Path | None, signed_url: str | None, **options: Any
) -> None:
    """Call like Plivo's (and Vobiz's) <Stream>: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, packet by packet, in JSON; silence is sent, too. Timestamps are times of day, and a stream ends by a
    Close without a stop. Exit status 1 if a file cannot be read or a call does not come about, or is ended by the
    gateway or broken off.

    \b
    Examples:
      linescribe call plivo greeting.wav
      linescribe call plivo --both caller.wav agent.wav --parameter callref=17
      linescribe call plivo --auth-token-file auth.token --signed-url wss://calls.example/plivo greeting.wav
      linescribe call plivo --encoding L16 --rate 16000 --url ws://127.0.0.1:8080/plivo/TOKEN greeting.wav
    """
    proof = sign_plivo(url, auth_token_file, signed_url)
    play(Dialect.PLIVO, files, url=url, proof=proof, remedies=PLIVO, **options)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@stream_options(Dialect.EXOTEL)
@end_option()
@parameter_option("A parameter of the stream's URL, of which Exotel takes three.")
@_number_options
@authorization_options
def exotel(
    files: tuple[Path, ...],
    *,
    calling: str,
    called: str,
    user: str | None,
    password_file: Path | None,
    token_file: Path | None,
    **options: Any,
) -> None:
    """Call like Exotel's Stream applet: one call for each FILE, all at the same time.

    FILE is a WAV file (PCM of 8 or 16 bits, any rate) or raw mu-law at 8 kHz (any other name). It is sent in
    real time, 100 ms at once, as 16-bit PCM in JSON; silence is sent, too. There is one track, the caller's. Exit
    status 1 if a file cannot be read or a call does not come about, or is ended by the gateway or broken off.

    \b
    Examples:
      linescribe call exotel greeting.wav
      linescribe call exotel --rate 16000 --from 09876543210 --parameter queue=sales greeting.wav
      linescribe call exotel --url wss://calls.example/exotel --user api-key greeting.wav
    """
    play(
        Dialect.EXOTEL,
        files,
        proof=authorize(user, password_file, token_file),
        remedies=AUTHORIZATION,
        told={"calling": calling, "called": called},
        **options,
    )
