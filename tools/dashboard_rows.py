"""What the dashboard shows, row by row: each panel's title, what it means, its unit, its queries and their legends.

It is one table, and so one file, though it is longer than others.
"""

from __future__ import annotations

RATE = "[$__rate_interval]"
ONE = '{instance=~"$instance"}'


FINALS = '{instance=~"$instance",job_type="final"}'


def _quantile(share: float, name: str, by: str = "", of: str = ONE) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket{of}{RATE})))"


def _ratio(of: str, to: str) -> str:
    return " / ".join(f"sum by (job_type) (rate({name}{ONE}{RATE}))" for name in (of, to))


Panel = tuple[str, str, str, list[tuple[str, str]]]
"""Title, what it means, unit, and queries with their legends."""

ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Now",
        [
            ("Calls", "In progress.", "short", [(f"sum(linescribe_calls{ONE})", "calls")]),
            (
                "Admitting",
                "1 where a new call would be let in.",
                "short",
                [(f"min(linescribe_admitting{ONE})", "admitting")],
            ),
            (
                "Backpressure",
                "0 normal, 1 fewer interims, 2 none.",
                "short",
                [(f"max(stt_backpressure_level{ONE})", "level")],
            ),
            (
                "End of speech to final, p95",
                "What callers feel.",
                "s",
                [(_quantile(0.95, "linescribe_final_seconds"), "p95")],
            ),
        ],
    ),
    (
        "Calls",
        [
            (
                "Calls and capacity",
                "The estimate is there once there were a minute of calls and 20 finals.",
                "short",
                [
                    (f"linescribe_calls{ONE}", "calls {{instance}}"),
                    (f"stt_active_connections{ONE}", "streams {{instance}}"),
                    (f"linescribe_capacity_calls{ONE}", "capacity {{instance}}"),
                ],
            ),
            (
                "Calls that ended, by reason",
                "hangup and stopped are as it should be.",
                "cps",
                [(f"sum by (reason) (rate(linescribe_calls_ended_total{ONE}{RATE}))", "{{reason}}")],
            ),
            (
                "Turned away, by reason",
                "Streams and announcements.",
                "cps",
                [(f"sum by (reason) (rate(linescribe_refused_total{ONE}{RATE}))", "{{reason}}")],
            ),
            (
                "Audio",
                "Seconds a second. Gaps are lost packets and stops; late audio is dropped.",
                "short",
                [
                    (f"sum(rate(linescribe_audio_seconds_total{ONE}{RATE}))", "heard"),
                    (f"sum(rate(linescribe_gap_seconds_total{ONE}{RATE}))", "gaps"),
                    (f"sum(rate(linescribe_late_seconds_total{ONE}{RATE}))", "late"),
                ],
            ),
            (
                "Frames",
                "50 a second for a track of 20 ms.",
                "pps",
                [
                    (f"sum(rate(linescribe_frames_total{ONE}{RATE}))", "frames"),
                    (f"sum(rate(linescribe_late_frames_total{ONE}{RATE}))", "late"),
                ],
            ),
        ],
    ),
    (
        "Transcripts",
        [
            (
                "End of speech to final",
                "The pause that ends an utterance is in it.",
                "s",
                [(_quantile(share, "linescribe_final_seconds"), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)],
            ),
            (
                "First sound to first interim",
                "Where anybody wants interims.",
                "s",
                [
                    (_quantile(share, "linescribe_first_interim_seconds"), f"p{share * 100:.0f}")
                    for share in (0.5, 0.95)
                ],
            ),
            (
                "Utterances without text",
                "Suppressed: nobody spoke. Failed: somebody may have.",
                "cps",
                [
                    (f"sum by (reason) (rate(linescribe_suppressed_total{ONE}{RATE}))", "suppressed {{reason}}"),
                    (f"sum by (code) (rate(linescribe_failed_total{ONE}{RATE}))", "failed {{code}}"),
                ],
            ),
            (
                "Interims shed",
                "Replaced, not accepted, or without room.",
                "cps",
                [(f"sum(rate(linescribe_interims_shed_total{ONE}{RATE}))", "shed")],
            ),
        ],
    ),
    (
        "Models",
        [
            (
                "Waiting",
                "Requests.",
                "short",
                [(f"sum by (queue_type) (stt_queue_depth{ONE})", "{{queue_type}}")],
            ),
            (
                "Wait of a final",
                "New calls are refused by it.",
                "s",
                [(f"linescribe_final_wait_seconds{ONE}", "{{instance}}")],
            ),
            (
                "Where the time of a final goes",
                "p95 of each phase.",
                "s",
                [(_quantile(0.95, "linescribe_phase_seconds", "phase", FINALS), "{{phase}}")],
            ),
            (
                "Decode",
                "p95 by kind.",
                "s",
                [(_quantile(0.95, "stt_decode_duration_seconds", "job_type"), "{{job_type}}")],
            ),
            (
                "Requests by how they ended",
                "Cancelled: nobody wanted them any more.",
                "cps",
                [(f"sum by (job_type, status) (rate(stt_jobs_processed_total{ONE}{RATE}))", "{{job_type}} {{status}}")],
            ),
            (
                "Batch",
                "Requests decoded together.",
                "short",
                [(_ratio("linescribe_batch_size_sum", "linescribe_batch_size_count"), "{{job_type}}")],
            ),
            (
                "Real-time factor",
                "Seconds of a lane for a second of audio.",
                "short",
                [
                    (
                        _ratio("linescribe_decode_busy_seconds_total", "linescribe_decoded_audio_seconds_total"),
                        "{{job_type}}",
                    ),
                    (f"max by (job_type) (linescribe_real_time_factor{ONE})", "{{job_type}} since the start"),
                ],
            ),
            (
                "Window",
                "Median of the window that is looked at first.",
                "s",
                [(_quantile(0.5, "linescribe_window_seconds", "job_type"), "{{job_type}}")],
            ),
            (
                "Audio that waits",
                "In memory, and on disk beyond that.",
                "s",
                [(f"sum by (place) (linescribe_waiting_audio_seconds{ONE})", "{{place}}")],
            ),
            (
                "Second looks",
                "Texts that were not believed at first.",
                "cps",
                [(f"sum by (job_type) (rate(linescribe_retries_total{ONE}{RATE}))", "{{job_type}}")],
            ),
            (
                "Loaded",
                "Models and processes.",
                "short",
                [
                    (f"sum by (model, role, device) (linescribe_models{ONE})", "{{model}} {{role}} {{device}}"),
                    (f"sum(linescribe_model_processes{ONE})", "processes"),
                ],
            ),
        ],
    ),
    (
        "Delivery",
        [
            (
                "Attempts",
                "By outcome.",
                "cps",
                [
                    (
                        f"sum by (endpoint, outcome) (rate(linescribe_webhook_attempts_total{ONE}{RATE}))",
                        "{{endpoint}} {{outcome}}",
                    )
                ],
            ),
            (
                "To be delivered",
                "Events.",
                "short",
                [(f"sum by (endpoint) (linescribe_webhook_pending{ONE})", "{{endpoint}}")],
            ),
            (
                "Age of the oldest",
                "Of what is still to be delivered.",
                "s",
                [
                    (f"max by (endpoint) (linescribe_webhook_oldest_seconds{ONE})", "{{endpoint}}"),
                    (f"max(linescribe_outbox_oldest_seconds{ONE})", "of all"),
                ],
            ),
            (
                "Given up",
                "Kept for linescribe outbox retry.",
                "short",
                [(f"sum by (endpoint) (linescribe_webhook_dead_letters{ONE})", "{{endpoint}}")],
            ),
            (
                "Endpoints",
                "0 well, 1 rests, 2 wants no more.",
                "short",
                [(f"max by (endpoint) (linescribe_webhook_endpoint_state{ONE})", "{{endpoint}}")],
            ),
            (
                "Event store",
                "1 while it can be written to; what waits in memory meanwhile.",
                "short",
                [
                    (f"min(linescribe_outbox_writable{ONE})", "writable"),
                    (f"sum(linescribe_outbox_waiting_events{ONE})", "waiting events"),
                ],
            ),
            ("Size of the store", "", "bytes", [(f"sum by (instance) (linescribe_outbox_bytes{ONE})", "{{instance}}")]),
        ],
    ),
    (
        "Machine",
        [
            (
                "Processor",
                "Of one processor, by the gateway's own process.",
                "percentunit",
                [(f"rate(process_cpu_seconds_total{ONE}{RATE})", "{{instance}}")],
            ),
            (
                "Memory",
                "By our processes.",
                "bytes",
                [(f"sum by (process) (linescribe_process_memory_bytes{ONE})", "{{process}}")],
            ),
            (
                "Event loop",
                "p99 of how late the calls' timer is.",
                "s",
                [(_quantile(0.99, "linescribe_event_loop_lag_seconds"), "p99")],
            ),
            ("Open files", "", "short", [(f"process_open_fds{ONE}", "open"), (f"process_max_fds{ONE}", "allowed")]),
            (
                "GPU memory",
                "Nothing where there is none.",
                "bytes",
                [
                    (f"stt_gpu_memory_used_bytes{ONE}", "used, GPU {{gpu_id}}"),
                    (f"linescribe_gpu_memory_bytes{ONE}", "of, GPU {{gpu_id}}"),
                ],
            ),
            (
                "GPU",
                "Nothing where there is none.",
                "percentunit",
                [(f"linescribe_gpu_utilization_ratio{ONE}", "GPU {{gpu_id}}")],
            ),
            ("Version", "", "short", [(f"linescribe_info{ONE}", "{{version}}, Python {{python}}")]),
        ],
    ),
]
