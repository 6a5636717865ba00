"""Keys of the tests, apart from the applications that know them: to import those would register their handlers."""

BILLING = "the key of billing, long enough"
