"""The three groups of people: admins edit and publish flows, supervisors look, ops work the circuits.

Permissions are usually created after all migrations have run; here they are needed before, so they are made by name
(Django finds them later and makes no second ones). The permissions of other apps are added by those apps.
"""

from django.db import migrations

MODELS = {
    "flow": "flow", "slot": "slot", "slotchoice": "slot choice", "intent": "intent", "keypadmapping": "keypad mapping",
    "outcome": "outcome", "prompt": "prompt", "flowversion": "flow version", "publishjob": "publish job",
}
EDITABLE = ("flow", "slot", "slotchoice", "intent", "keypadmapping", "outcome", "prompt")


def _permission(apps, model, codename, name):
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    content_type, _ = ContentType.objects.get_or_create(app_label="callflows", model=model)
    permission, _ = Permission.objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": name}
    )
    return permission


def create_groups(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    views = [_permission(apps, model, f"view_{model}", f"Can view {name}") for model, name in MODELS.items()]
    edits = [
        _permission(apps, model, f"{verb}_{model}", f"Can {verb} {MODELS[model]}")
        for model in EDITABLE
        for verb in ("add", "change", "delete")
    ]
    publish = _permission(apps, "flow", "publish_flow", "Can publish a flow")
    Group.objects.get_or_create(name="admins")[0].permissions.add(*views, *edits, publish)
    Group.objects.get_or_create(name="supervisors")[0].permissions.add(*views)
    Group.objects.get_or_create(name="ops")


class Migration(migrations.Migration):
    dependencies = [
        ("callflows", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Groups may have been given to people meanwhile: going back leaves them.
    operations = [migrations.RunPython(create_groups, migrations.RunPython.noop)]
