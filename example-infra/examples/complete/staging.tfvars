environment        = "staging"
account_id         = "123456789012"
github_repository  = "your-org/your-repo"
certificate_arn    = "arn:aws:acm:eu-central-1:123456789012:certificate/66666666-7777-8888-9999-000000000000"
ingress_cidrs      = ["203.0.113.0/28"]
model_load_seconds = 120
tasks              = 1
alert_emails       = ["team@example.com"]
