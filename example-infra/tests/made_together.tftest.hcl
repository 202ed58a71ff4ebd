mock_provider "aws" {
  source = "./tests/mocks"
}

run "what_the_stack_is_given_may_be_made_with_it" {
  command = plan
  module {
    source = "./tests/made_together"
  }
}
