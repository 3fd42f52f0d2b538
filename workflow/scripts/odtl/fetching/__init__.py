"""Images from the network: fetched in parallel, checked, and stored once, with a ledger of what became of each address.

`addresses` says which addresses are connected to, `urls` what a URL must be, `transfers` moves the bytes, `hosts` and
`client` decide what is asked for when, `storing` looks at what came and keeps it, `journal` remembers it through a
kill, `ledger` is the table that later stages read, and `shard` puts all of it together.
"""
