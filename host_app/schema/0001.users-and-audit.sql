-- Who may sign in to the console, and what everybody did there.

CREATE TABLE host.users (
    name text PRIMARY KEY CHECK (name <> ''),
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    -- Raised with every change of the password or role: sessions of an older one end.
    generation integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE host.secret (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE host.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    remote text,
    action text NOT NULL,
    target text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_at ON host.audit (at DESC);
