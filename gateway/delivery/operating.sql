-- What an operator asks of the event store, and does to it, beside the gateway that uses it. For lines and places see
-- outbox.sql. "-- name:" begins a statement; the lines below it say what it is for.

-- name: event_named
-- An event by its id.
SELECT id FROM event WHERE event_id = :event_id;

-- name: events_of_call
-- Of a call, by our name for it.
SELECT id FROM event WHERE call_id = :call_id;

-- name: events_between
-- Of a time.
SELECT id FROM event WHERE stored_at >= :since AND stored_at < :until;

-- name: events_pending
-- Those that are to be delivered to somebody yet.
SELECT DISTINCT event FROM delivery WHERE place IS NOT NULL;

-- name: events_dead
-- Those that were given up for somebody.
SELECT DISTINCT event FROM delivery WHERE outcome = 'given_up';

-- name: event
-- What is known of an event, its body aside.
SELECT event_id, call_id, sequence, type, stored_at FROM event WHERE id = :event;

-- name: body
-- What its receivers are sent.
SELECT body FROM event WHERE id = :event;

-- name: deliveries
-- An event's deliveries.
SELECT endpoint, url, coalesce(outcome, place), leased, due_at, attempts, reason, settled_at
FROM delivery WHERE event = :event AND (:endpoint IS NULL OR endpoint = :endpoint)
ORDER BY endpoint;

-- name: hurry
-- What waits for its next attempt is due now.
UPDATE delivery SET due_at = :now
WHERE event = :event AND (:endpoint IS NULL OR endpoint = :endpoint) AND due_at > :now AND NOT leased;

-- name: settled
-- Lines that have an event behind them, in one of some ways.
SELECT endpoint, call_id FROM delivery
WHERE event = :event AND (:endpoint IS NULL OR endpoint = :endpoint)
    AND (outcome = 'given_up' OR (outcome IS NOT NULL AND :every));

-- name: reopen
-- Put an event back into its line, as if it had never been tried.
UPDATE delivery
SET place = 'held', outcome = NULL, settled_at = NULL, attempts = 0, holds_until = NULL
WHERE event = :event AND endpoint = :endpoint AND outcome IS NOT NULL;

-- name: add
-- Put an event into the line of an endpoint that was never to have it.
INSERT INTO delivery (event, endpoint, call_id, sequence, place)
SELECT id, :endpoint, call_id, sequence, 'held' FROM event WHERE id = :event
ON CONFLICT (event, endpoint) DO NOTHING;

-- name: unsettled
-- Lines that have an event before them, or have given it up.
SELECT endpoint, call_id, leased FROM delivery
WHERE event = :event AND (:endpoint IS NULL OR endpoint = :endpoint)
    AND (place IS NOT NULL OR (outcome = 'given_up' AND :dead));

-- name: discard
-- Deliver an event no more.
UPDATE delivery
SET place = NULL, due_at = NULL, leased = 0, holds_until = NULL, outcome = 'discarded', settled_at = :now,
    reason = 'discarded by the operator'
WHERE event = :event AND endpoint = :endpoint;

-- name: call_of
-- Whose event it is.
SELECT call_id FROM event WHERE id = :event;

-- name: enable
-- Send an endpoint what waits for it.
DELETE FROM disabled WHERE endpoint = :endpoint;
