"""FreeSWITCH: forks of a call's audio by mod_audio_fork and mod_audio_stream."""
