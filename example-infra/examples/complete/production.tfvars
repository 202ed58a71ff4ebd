environment        = "production"
account_id         = "123456789012"
github_repository  = "your-org/your-repo"                                                                     # whose workflows deploy
certificate_arn    = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" # of this Region
ingress_cidrs      = ["203.0.113.0/24"]                                                                       # your clients' networks: nobody else gets in
model_load_seconds = 120                                                                                      # measured: start to first 200 of /health
alert_emails       = ["team@example.com"]
