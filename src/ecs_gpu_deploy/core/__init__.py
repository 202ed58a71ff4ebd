"""Pure decisions: no boto3, no os, no clock, no subprocess. A test holds that line."""
