"""AWS: sessions, credentials and the calls that we make. botocore lives only here."""
