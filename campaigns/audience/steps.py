"""The steps from all customers to those who may be addressed, as SQL over what people.py makes."""

from campaigns.tables import CHANNELS, NIGHT, PARENT

# Why a customer is left out; the first that holds counts.
REASONS = (
    "test account",
    "outside the audience",
    "silence",
    "open complaint",
    "late delivery",
    "no consent",
    "no parent's consent",
    "no address",
    "hard bounce",
    "quiet hours",
    "frequency cap",
    "other account",
)

# people: each step's channels are those of the step before that pass it, so a reason is the first step without any.
PEOPLE_STEPS = f"""
CREATE TEMP TABLE people AS
WITH words AS (
    SELECT customer_id, channel, purpose, granted, changed_at FROM consents
    WHERE changed_at < $as_of AND purpose IN ($purpose, '{NIGHT}', '{PARENT}')
    UNION ALL
    SELECT customer_id, unnest(CASE WHEN channel IS NULL THEN {list(CHANNELS)} ELSE [channel] END), $purpose, false,
        responses."at"
    FROM responses WHERE event IN ('unsubscribed', 'complained') AND responses."at" < $as_of AND $purpose <> 'service'
),
said AS (  -- of words at the same instant, the no counts
    SELECT customer_id, channel, purpose, arg_max(granted, {{'at': changed_at, 'no': NOT granted}}) AS granted
    FROM words GROUP BY ALL
),
agreed AS (
    SELECT customer_id,
        {
    ", ".join(
        f"bool_or(granted) FILTER (channel = '{channel}' AND purpose = {purpose}) AS {channel}_{name}"
        for channel in CHANNELS
        for name, purpose in (("said", "$purpose"), ("night", f"'{NIGHT}'"), ("parent", f"'{PARENT}'"))
    )
}
    FROM said GROUP BY ALL
),
persons AS (SELECT customer_id, person_id FROM seen),
cases AS (
    SELECT person_id, bool_or(kind = 'complaint') AS complaint, bool_or(kind = 'late_delivery') AS late
    FROM service_cases JOIN persons USING (customer_id)
    WHERE opened_at < $as_of AND (closed_at IS NULL OR closed_at >= $as_of
        OR closed_at + to_days(CASE kind WHEN 'complaint' THEN $complaint_days WHEN 'late_delivery' THEN $late_days
            ELSE 0 END) > $send_at)
    GROUP BY ALL
),
hushed AS (SELECT DISTINCT person_id FROM silences JOIN persons USING (customer_id) WHERE until > $send_at),
hushed_cities AS (SELECT DISTINCT lower(trim(city)) AS city FROM silences WHERE until > $send_at AND city IS NOT NULL),
bounced AS (  -- an address that took a message since is another
    SELECT customer_id, coalesce(channel, 'email') AS channel
    FROM responses WHERE responses."at" < $as_of AND event IN ('bounced', 'delivered', 'opened', 'clicked')
    GROUP BY ALL HAVING arg_max(event = 'bounced', {{'at': responses."at", 'bounced': event = 'bounced'}})
),
facts AS (
    SELECT seen.* EXCLUDE (city),
        hushed.person_id IS NOT NULL OR hushed_cities.city IS NOT NULL AS silenced,
        coalesce(complaint, false) AS complaint,
        coalesce(late, false) AS late,
        coalesce(age < $adult_age, false) AS child,
        {
    ", ".join(
        f"${channel}_used AND coalesce({channel}_said, ${channel}_assumed) AS {channel}_1, "
        f"coalesce({channel}_night, false) AS {channel}_night, coalesce({channel}_parent, false) AS {channel}_parent,"
        f"customer_id IN (SELECT customer_id FROM bounced WHERE channel = '{channel}') AS {channel}_bounced"
        for channel in CHANNELS
    )
}
    FROM seen
    LEFT JOIN hushed USING (person_id)
    LEFT JOIN hushed_cities ON seen.city = hushed_cities.city
    LEFT JOIN cases USING (person_id)
    LEFT JOIN agreed USING (customer_id)
)
SELECT customer_id, person_id, wanted, zone, silenced, complaint, late,
    {
    ", ".join(
        f"{channel}_1, {channel}_1 AND (NOT child OR {channel}_parent) AS {channel}_2, "
        f"{channel}_2 AND has_{channel} AS {channel}_3, {channel}_3 AND NOT {channel}_bounced AS {channel}_4, "
        f"{channel}_4 AND ({channel}_night OR {channel}_later_at IS NOT NULL) AS {channel}_5, "
        f"CASE WHEN {channel}_night THEN {channel}_at ELSE {channel}_later_at END AS {channel}_at, "
        f"CASE WHEN {channel}_night THEN {channel}_day ELSE {channel}_later_day END AS {channel}_day"
        for channel in CHANNELS
    )
}
FROM facts
"""

JUDGED = """
WITH roomy AS (
    SELECT people.*,
        email_5 AND coalesce(rooms.email, $email_room) > 0 AS email_6,
        push_5 AND coalesce(rooms.push, $push_room) > 0 AS push_6,
        coalesce(rooms.messages, $room) AS messages,
        least(CASE WHEN email_6 THEN coalesce(rooms.email, $email_room) END,
              CASE WHEN push_6 THEN coalesce(rooms.push, $push_room) END) AS on_channels,
        coalesce(email_unopened, 0) * $email_fatigue AS email_fatigue,
        coalesce(push_unopened, 0) * $push_fatigue AS push_fatigue
    FROM people LEFT JOIN rooms USING (customer_id)
),
judged AS (
    SELECT *,
        CASE WHEN customer_id IN (SELECT customer_id FROM test_accounts) THEN 'test account'
             WHEN NOT wanted THEN 'outside the audience'
             WHEN silenced THEN 'silence'
             WHEN complaint THEN 'open complaint'
             WHEN late THEN 'late delivery'
             WHEN NOT (email_1 OR push_1) THEN 'no consent'
             WHEN NOT (email_2 OR push_2) THEN 'no parent''s consent'
             WHEN NOT (email_3 OR push_3) THEN 'no address'
             WHEN NOT (email_4 OR push_4) THEN 'hard bounce'
             WHEN NOT (email_5 OR push_5) THEN 'quiet hours'
             WHEN NOT (email_6 OR push_6) THEN 'frequency cap'
        END AS reason
    FROM roomy
),
ranked AS (  -- the account that can be reached on most channels speaks for the person
    SELECT *, row_number() OVER (
        PARTITION BY person_id, reason IS NULL
        ORDER BY CAST(email_6 AS INTEGER) + CAST(push_6 AS INTEGER) DESC, customer_id) AS account
    FROM judged
),
drawn AS (
    SELECT *,
        CAST(CAST('0x' || left(sha256($salt || person_id), 15) AS BIGINT) % 10000 AS INTEGER) AS bucket,
        CAST('0x' || left(sha256($global_salt || person_id), 15) AS BIGINT) % 10000 AS global_bucket
    FROM ranked
)
SELECT
    customer_id,
    person_id,
    CASE WHEN reason IS NULL AND account > 1 THEN 'other account' ELSE reason END AS reason,
    CASE WHEN bucket < $share OR global_bucket < $global_share THEN 'control' ELSE 'treatment' END AS arm,
    bucket,
    email_6 AS email,
    push_6 AS push,
    CASE WHEN email_6 THEN email_at END AS email_at,
    CASE WHEN push_6 THEN push_at END AS push_at,
    CAST(least(messages, on_channels) AS INTEGER) AS messages,
    CAST(email_fatigue AS BIGINT) AS email_fatigue,
    CAST(push_fatigue AS BIGINT) AS push_fatigue
FROM drawn
ORDER BY customer_id
"""
