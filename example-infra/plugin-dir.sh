#!/bin/sh
# Print the folder of Terraform provider plugins on this machine: TF_PLUGIN_DIR, or a folder named tf-plugins in one of
# the places where software is put. Nothing where there is none: terraform init then fetches the provider.
if [ -n "${TF_PLUGIN_DIR:-}" ]; then
  echo "$TF_PLUGIN_DIR"
else
  find / -maxdepth 3 \( -path /proc -o -path /sys -o -path /dev \) -prune -o -type d -name tf-plugins -print 2>/dev/null | head -n 1
fi
