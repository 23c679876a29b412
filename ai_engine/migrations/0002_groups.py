"""Admins edit and try engines; supervisors and ops look at them. Permissions are made by name: Django finds them later."""

from django.db import migrations

VERBS = ("view", "add", "change", "delete")


def grant(apps, schema_editor):
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    content_type, _ = ContentType.objects.get_or_create(app_label="ai_engine", model="engine")
    by_verb = {
        verb: Permission.objects.get_or_create(
            content_type=content_type, codename=f"{verb}_engine", defaults={"name": f"Can {verb} engine"}
        )[0]
        for verb in VERBS
    }
    Group.objects.get_or_create(name="admins")[0].permissions.add(*by_verb.values())
    for group in ("supervisors", "ops"):
        Group.objects.get_or_create(name=group)[0].permissions.add(by_verb["view"])


class Migration(migrations.Migration):
    dependencies = [
        ("ai_engine", "0001_engine"),
        ("callflows", "0002_groups"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
