-- Every statement of the event store. "-- name:" begins one; the lines below it say what it is for.
-- Nothing here needs a newer SQLite than 3.32 (iif). Times are seconds since the epoch.
--
-- A line is what one endpoint is still to be sent of one call, in order of sequence. A delivery's place in it:
--   passed  was tried, and held the line back long enough; it is tried further, but no longer waited for
--   front   is sent next, and holds back everything behind it; a line has at most one
--   held    waits behind the front
--   NULL    has left the line: it is settled
-- So only what may be sent has a due_at, and finding it never means looking through what is held back.
--
-- An endpoint is here the name of a line's receiver: that of the settings, or name@host:port where calls bring the URL.

-- name: migration_1
-- The first schema.
CREATE TABLE call (
    call_id TEXT PRIMARY KEY NOT NULL,
    ended_at REAL                           -- when call.ended was stored
) WITHOUT ROWID;
CREATE INDEX call_unended ON call (call_id) WHERE ended_at IS NULL;
CREATE INDEX call_ended ON call (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    call_id TEXT NOT NULL REFERENCES call (call_id),
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (call_id, sequence)
);

CREATE TABLE delivery (
    event INTEGER NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    endpoint TEXT NOT NULL,
    call_id TEXT NOT NULL,                  -- its event's, and so is sequence: here for the index of lines
    sequence INTEGER NOT NULL,
    place TEXT CHECK (place IN ('passed', 'front', 'held')),
    due_at REAL,                            -- when it may be sent; while it is leased, when the lease runs out
    leased INTEGER NOT NULL DEFAULT 0,
    holds_until REAL,                       -- of a front that was tried: when it will have held the line long enough
    attempts INTEGER NOT NULL DEFAULT 0,    -- those that came to an end
    outcome TEXT CHECK (outcome IN ('delivered', 'given_up')),
    reason TEXT,                            -- why it was given up
    settled_at REAL,
    PRIMARY KEY (event, endpoint),
    CHECK ((place IS NULL) = (outcome IS NOT NULL)),
    CHECK ((due_at IS NULL) = (place IS NULL OR place = 'held'))
) WITHOUT ROWID;
CREATE INDEX delivery_line ON delivery (call_id, endpoint, place, sequence) WHERE place IS NOT NULL;
CREATE INDEX delivery_due ON delivery (endpoint, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_holding ON delivery (endpoint, holds_until) WHERE holds_until IS NOT NULL;

-- name: migration_2
-- When an event was stored; who a call's events are for, and by which URL; what an operator discards; endpoints that
-- want no more.
ALTER TABLE call ADD COLUMN recipients BLOB NOT NULL DEFAULT '[]';  -- JSON, as Recipient has it
UPDATE call SET recipients = (
    SELECT '[' || coalesce(group_concat('{"endpoint":"' || endpoint || '"}'), '') || ']'
    FROM (
        SELECT DISTINCT delivery.endpoint FROM event JOIN delivery ON delivery.event = event.id
        WHERE event.call_id = call.call_id
    )
)
WHERE ended_at IS NULL;

ALTER TABLE event ADD COLUMN stored_at REAL NOT NULL DEFAULT 0;
UPDATE event SET stored_at = coalesce(
    (SELECT ended_at FROM call WHERE call.call_id = event.call_id), CAST(strftime('%s', 'now') AS REAL)
);

CREATE INDEX event_stored ON event (stored_at);

CREATE TABLE delivery_2 (
    event INTEGER NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    endpoint TEXT NOT NULL,
    call_id TEXT NOT NULL,                  -- its event's, and so is sequence: here for the index of lines
    sequence INTEGER NOT NULL,
    url TEXT,                               -- where the call brought it
    place TEXT CHECK (place IN ('passed', 'front', 'held')),
    due_at REAL,                            -- when it may be sent; while it is leased, when the lease runs out
    leased INTEGER NOT NULL DEFAULT 0,
    holds_until REAL,                       -- of a front that was tried: when it will have held the line long enough
    attempts INTEGER NOT NULL DEFAULT 0,    -- those that came to an end
    outcome TEXT CHECK (outcome IN ('delivered', 'given_up', 'discarded')),
    reason TEXT,                            -- what the last attempt that failed came to, and why it was given up
    settled_at REAL,
    PRIMARY KEY (event, endpoint),
    CHECK ((place IS NULL) = (outcome IS NOT NULL)),
    CHECK ((due_at IS NULL) = (place IS NULL OR place = 'held'))
) WITHOUT ROWID;
INSERT INTO delivery_2 (
    event, endpoint, call_id, sequence, place, due_at, leased, holds_until, attempts, outcome, reason, settled_at
)
SELECT event, endpoint, call_id, sequence, place, due_at, leased, holds_until, attempts, outcome, reason, settled_at
FROM delivery;
DROP TABLE delivery;
ALTER TABLE delivery_2 RENAME TO delivery;
CREATE INDEX delivery_line ON delivery (call_id, endpoint, place, sequence) WHERE place IS NOT NULL;
CREATE INDEX delivery_due ON delivery (endpoint, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_holding ON delivery (endpoint, holds_until) WHERE holds_until IS NOT NULL;
CREATE INDEX delivery_open ON delivery (event) WHERE place IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (call_id, settled_at) WHERE outcome = 'given_up';

CREATE TABLE disabled (
    endpoint TEXT PRIMARY KEY NOT NULL,     -- it is sent nothing, and what it is to be sent waits
    since REAL NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;

-- name: release_leases
-- On start: whatever the previous process had in hand, or was waiting to try again, is due. Whoever restarts a
-- gateway has often just mended what was in the way.
UPDATE delivery SET leased = 0, due_at = min(due_at, :now) WHERE due_at IS NOT NULL AND place <> 'held';

-- name: append_call
-- The call of an event, when this is its first.
INSERT INTO call (call_id, recipients) VALUES (:call_id, :recipients) ON CONFLICT (call_id) DO NOTHING;

-- name: end_call
-- With call.ended.
UPDATE call SET ended_at = :now WHERE call_id = :call_id;

-- name: append_event
-- Changes no row when the event is already stored.
INSERT INTO event (event_id, call_id, sequence, type, body, stored_at)
VALUES (:event_id, :call_id, :sequence, :type, :body, :now)
ON CONFLICT (event_id) DO NOTHING;

-- name: append_delivery
-- At the end of its line: held if there is a front, else the front itself.
INSERT INTO delivery (event, endpoint, call_id, sequence, url, place, due_at)
SELECT :event, :endpoint, :call_id, :sequence, :url, iif(fronted, 'held', 'front'), iif(fronted, NULL, :now)
FROM (
    SELECT EXISTS (
        SELECT 1 FROM delivery WHERE call_id = :call_id AND endpoint = :endpoint AND place = 'front'
    ) AS fronted
);

-- name: overdue_fronts
-- The fronts that have held back their lines long enough. Not more than so many at once, lest live calls wait
-- behind them: what is left over is due at once, says next_due.
SELECT event, endpoint, call_id FROM delivery WHERE endpoint = :endpoint AND holds_until <= :now
ORDER BY holds_until LIMIT 500;

-- name: pass_front
-- Let the line go on without waiting for this one.
UPDATE delivery SET place = 'passed', holds_until = NULL WHERE event = :event AND endpoint = :endpoint;

-- name: advance_line
-- Make the first of those held the front, unless there is one. It is due at once, behind what was due before.
UPDATE delivery SET place = 'front', due_at = :now
WHERE endpoint = :endpoint
    AND event = (
        SELECT event FROM delivery
        WHERE call_id = :call_id AND endpoint = :endpoint AND place = 'held'
        ORDER BY sequence LIMIT 1
    )
    AND NOT EXISTS (
        SELECT 1 FROM delivery WHERE call_id = :call_id AND endpoint = :endpoint AND place = 'front'
    );

-- name: disabled_since
-- Of an endpoint that is sent nothing.
SELECT since FROM disabled WHERE endpoint = :endpoint;

-- name: disable
-- Send an endpoint nothing more, until somebody enables it.
INSERT INTO disabled (endpoint, since, reason) VALUES (:endpoint, :now, :reason) ON CONFLICT (endpoint) DO NOTHING;

-- name: due_deliveries
-- What may be sent now, longest due first.
SELECT delivery.event, event_id, delivery.call_id, delivery.sequence, url, body, attempts + 1 AS attempt
FROM delivery JOIN event ON event.id = delivery.event
WHERE endpoint = :endpoint AND due_at <= :now
ORDER BY due_at, delivery.event LIMIT :limit;

-- name: lease
-- Keep a delivery from being claimed again for a while. A front's first claim starts its time of holding back.
UPDATE delivery
SET leased = 1,
    due_at = :lease_until,
    holds_until = iif(place = 'front', coalesce(holds_until, :holds_until), NULL)
WHERE event = :event AND endpoint = :endpoint;

-- name: settle_retry
-- An attempt failed. One that lost its lease, and was overtaken by another attempt, changes nothing.
UPDATE delivery SET leased = 0, due_at = :due_at, attempts = :attempt, reason = :reason
WHERE event = (SELECT id FROM event WHERE event_id = :event_id) AND endpoint = :endpoint
    AND place IS NOT NULL AND attempts = :attempt - 1;

-- name: settle_delivered
-- Delivered is delivered, even by an attempt that had lost its lease.
UPDATE delivery
SET place = NULL, due_at = NULL, leased = 0, holds_until = NULL,
    attempts = :attempt, outcome = 'delivered', reason = NULL, settled_at = :now
WHERE event = (SELECT id FROM event WHERE event_id = :event_id) AND endpoint = :endpoint
    AND place IS NOT NULL;

-- name: settle_given_up
-- An attempt failed and was the last. As with settle_retry, an overtaken one changes nothing.
UPDATE delivery
SET place = NULL, due_at = NULL, leased = 0, holds_until = NULL,
    attempts = :attempt, outcome = 'given_up', reason = :reason, settled_at = :now
WHERE event = (SELECT id FROM event WHERE event_id = :event_id) AND endpoint = :endpoint
    AND place IS NOT NULL AND attempts = :attempt - 1;

-- name: next_due
-- When there will be something to claim: a delivery due, or a front that need not be waited for any longer.
SELECT min(moment) FROM (
    SELECT min(due_at) AS moment FROM delivery WHERE endpoint = :endpoint AND due_at IS NOT NULL
    UNION ALL
    SELECT min(holds_until) FROM delivery WHERE endpoint = :endpoint AND holds_until IS NOT NULL
);

-- name: pending
-- Deliveries not settled, of every endpoint.
SELECT count(*) FROM delivery WHERE place IS NOT NULL;

-- name: unfinished_calls
-- What is known of each call that has not ended.
SELECT
    call.call_id,
    max(iif(type = 'call.started', body, NULL)) AS started_body,
    max(sequence) AS last_sequence,
    sum(type = 'transcript.final') AS finals,
    sum(type = 'transcript.failed') AS failed,
    recipients
FROM call JOIN event ON event.call_id = call.call_id
WHERE ended_at IS NULL
GROUP BY call.call_id;

-- name: hasten
-- What waits for its next attempt is due now: the endpoint is well again. Some at a time, lest live calls wait; and not
-- what was tried often already, which would else lose its last attempts to an endpoint that is up and down.
UPDATE delivery SET due_at = :now
WHERE endpoint = :endpoint
    AND event IN (
        SELECT event FROM delivery WHERE endpoint = :endpoint AND due_at > :now AND NOT leased AND attempts <= :most_attempts LIMIT 200
    );

-- name: stale_deliveries
-- Some of what could not be delivered for too long, oldest first.
SELECT delivery.event, endpoint, delivery.call_id FROM delivery JOIN event ON event.id = delivery.event
WHERE place IS NOT NULL AND NOT leased AND stored_at < :before
ORDER BY delivery.event LIMIT :limit;

-- name: give_up_stale
-- As settle_given_up, without an attempt; not what is just being tried.
UPDATE delivery
SET place = NULL, due_at = NULL, holds_until = NULL, outcome = 'given_up', reason = :reason, settled_at = :now
WHERE event = :event AND endpoint = :endpoint AND place IS NOT NULL AND NOT leased;

-- name: forgettable_calls
-- Some calls that ended before a moment, longest ended first, of which nothing is left to be delivered and whose last
-- dead letter, if they have one, is from before another moment.
SELECT call_id FROM call
WHERE ended_at < :before
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.call_id = call.call_id AND place IS NOT NULL)
    AND NOT EXISTS (
        SELECT 1 FROM delivery
        WHERE delivery.call_id = call.call_id AND outcome = 'given_up' AND settled_at >= :dead_before
    )
ORDER BY ended_at LIMIT :limit;

-- name: forget_events
-- Some of a call's events, unless something is to be delivered again by now; the deliveries of each go with it.
DELETE FROM event
WHERE id IN (SELECT id FROM event WHERE call_id = :call_id LIMIT 200)
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.call_id = :call_id AND place IS NOT NULL);

-- name: forget_call
-- Once its events are gone.
DELETE FROM call WHERE call_id = :call_id AND NOT EXISTS (SELECT 1 FROM event WHERE event.call_id = :call_id);

-- name: figures
-- Of every endpoint: what is to be delivered yet, since when the oldest of it waits, and its dead letters.
SELECT endpoint, sum(pending), min(oldest_stored_at), sum(dead) FROM (
    SELECT endpoint, pending, (SELECT stored_at FROM event WHERE id = oldest) AS oldest_stored_at, 0 AS dead FROM (
        SELECT endpoint, count(*) AS pending, min(event) AS oldest FROM delivery WHERE place IS NOT NULL GROUP BY endpoint
    )
    UNION ALL
    SELECT endpoint, 0, NULL, count(*) FROM delivery WHERE outcome = 'given_up' GROUP BY endpoint
)
GROUP BY endpoint;

-- name: disabled_endpoints
-- Those that are sent nothing.
SELECT endpoint, since, reason FROM disabled;
