"""The inspector: one page that shows what all workers of an application do, live.

`app.mount("/nitro-inspector", nitro.inspector(authenticate=is_admin))`.
"""
