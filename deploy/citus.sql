-- Distributes the tables of Trunkline by account over the workers of Citus 12 or newer.
--
-- Once, on the coordinator, by the owner of the tables, while no node runs: after
-- `trunkline db migrate`, and on an empty or a small database.
--
--     psql --single-transaction --set=ON_ERROR_STOP=1 --file deploy/citus.sql "$TRUNKLINE_DATABASE"
--
-- What belongs to one account lies together on one worker, so everything that the API does for an
-- account happens there. What crosses accounts (a lane's next messages, webhooks that are due, the
-- message of a carrier's reference) asks all workers. docs/how-to/scale-out.md says more, and that
-- this was not run.

-- Messages and all that comes of them, by account; the key of each begins with it.
SELECT create_distributed_table('messages', 'account_sid', shard_count => 64);
SELECT create_distributed_table('outbox', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('events', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('callbacks', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('callback_attempts', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('cookies', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('usage', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('retention_marks', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('schedule', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('sticky_senders', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('consents', 'account_sid', colocate_with => 'messages');
-- Its triggers refuse changes of a row by looking at nothing but the row.
SET LOCAL citus.enable_unsafe_triggers TO on;
SELECT create_distributed_table('consent_history', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('alerts', 'account_sid', colocate_with => 'messages');
SELECT create_distributed_table('idempotency_keys', 'account_sid', colocate_with => 'messages');

-- What is looked for by somebody who does not know the account: a carrier's reference, by the
-- reference; the content of media, which several accounts may share, by its digest.
SELECT create_distributed_table('carrier_refs', 'ref', shard_count => 64, colocate_with => 'none');
SELECT create_distributed_table('media_bytes', 'digest', shard_count => 64, colocate_with => 'none');

-- Configuration: small, read by everything, written by people. Every worker has all of it.
SELECT create_reference_table('records');
SELECT create_reference_table('config_version');

-- What stays on the coordinator: rows that live for moments, that belong to no account, or that
-- decide who may write at all: a lease must be one row at one place.
-- local: leases
-- local: nodes
-- local: commits
-- local: compatibility
-- local: erasures
-- local: deliveries
-- local: media_fetches
-- local: inbound_segments
-- local: strays
-- local: short_links
-- local: handsets
-- local: handset_texts
